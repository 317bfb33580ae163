"""Every message of the product that a person may read, as the catalogue needs it.

Owns what counts as a message. Whatever reads like prose in the source is one, unless a rule below
says for whom else it is; so a new message is found without being marked. A message is written as
the f-string it is made by, with short names for its parts: "{path} has {n:,} rows".
"""

import ast
import inspect
import itertools
import re
from collections.abc import Iterator, Sequence

from sources import ROOT, SOURCES, module_name

from ecgpipe.read_ecg.signal.record import Reason

# Not for the person at the keyboard, or in both languages already.
ELSEWHERE = (
    "ecgpipe.apply_model.export.card",
    "ecgpipe.apply_model.prediction",
    "ecgpipe.apply_model.server",
    "ecgpipe.commands.answers",
    "ecgpipe.drawing.ecg_chart",
    "ecgpipe.drawing.plot_rendering",
    "ecgpipe.evaluate.report.charts",
    "ecgpipe.evaluate.report.html",
    "ecgpipe.evaluate.statements",
    "ecgpipe.read_ecg.echo.cells",
)

# Of these only the errors are for people; the rest is scripts and patterns.
SCRIPTS = (
    *(f"ecgpipe.cluster.{name}" for name in ("script", "slurm", "pbs", "pjm", "grid_engine")),
    "ecgpipe.evaluate.statements",
    "ecgpipe.language.recognition",
    "ecgpipe.language.translation",
)

# Reads like prose, but is a name, or written for programs.
NO_PROSE = {
    "-S /bin/bash", "Connection closed by peer",
    "Connection reset by peer", "EDF Annotations", "RTX 6000 Ada", "can't allocate memory",
    "in weights", "not enough memory", "right, to a multiple of {length_step}",
    "{form} xxh3-128 {xxh3_128_hexdigest}\n", "Python {python}, {packages}",
    "neurokit2, prominence", "Philips XML", "cd {quote}", "fingerprint  {digest}",
    "text.model   {named}", "ecgpipe: {error}", "ecgpipe: {error}.", "compare: {error}",
    "ecgpipe: {name}: {reason}", "ecgpipe: {name}: {message}", "show: {remark}",
    "eval: {name}", "train: {note}", "ecgpipe. {research}",
}  # fmt: skip

# Of click; those that our commands can show.
CLICK = (
    "Usage:", "Options", "Commands", "Show the version and exit.", "Show this message and exit.",
    "default: {default}", "required", "Error: {message}", "Try '{command} {option}' for help.",
    "Missing command.", "Missing argument {param_hint}.", "Missing option {param_hint}.",
    "No such option {name!r}.", "No such command {name!r}.", "(Did you mean {possibility}?)",
    "(Did you mean one of: {possibilities}?)",
    "Invalid value for {param_hint}: {message}", "Invalid value: {message}",
    "Got unexpected extra argument ({args})", "Got unexpected extra arguments ({args})",
    "Option {name!r} requires an argument.", "Option {name!r} does not take a value.",
    "{value!r} is not a valid integer range.", "{value!r} is not a valid float range.",
    "{value} is not in the range {range}.", "{value!r} is not one of {choices}.",
)  # fmt: skip

# Errors for whoever calls a function. Of these modules they become part of a message.
TOLD_ON = ("ecgpipe.config.", "ecgpipe.files", "ecgpipe.read_ecg.formats.", "ecgpipe.cache.")
FOR_CALLERS = {"AssertionError", "AttributeError", "ImportError", "IndexError", "KeyError"}
FOR_CALLERS |= {"RuntimeError", "TypeError", "ValueError"}

# Calls whose arguments nobody reads, or which have both languages.
NOT_SHOWN = {"both", "word", "compile", "sub", "search", "match", "fullmatch", "findall", "getenv"}
NOT_SHOWN |= {"Literal", "TypeVar", "cast", "import_module", "startswith", "endswith", "split"}
NOT_SHOWN |= {"removesuffix", "removeprefix", "partition", "warn", "filterwarnings", "simplefilter"}

# Of pydantic, which reads the settings, and of the operating system.
OTHERS = (
    "input should be a valid integer", "input should be a valid number",
    "input should be a valid string", "input should be a valid boolean",
    "input should be a valid list", "input should be a valid array",
    "input should be a finite number", "string should have at least {n:d} character{s}",
    "input should be {choices} or {choice}",
    "input should be greater than {limit}", "input should be greater than or equal to {limit}",
    "input should be less than or equal to {limit}", "input should be less than {limit}",
    "input should be an object", "input should be a valid dictionary", "field required",
    "tuple should have at least {n:d} item{s} after validation, not {n2:d}",
    "[Errno {number:d}] {strerror}: {filename!r}", "No such file or directory",
    "Permission denied", "Is a directory", "Not a directory", "No space left on device",
    "File exists", "Read-only file system", "Disk quota exceeded", "Input/output error",
    "Stale file handle", "Too many open files", "Cannot allocate memory",
)  # fmt: skip

# Single words that are shown, and a rate; the rules look for prose.
WORDS = (
    "rows", "durations", "leads", "amplitude", "findings", "texts", "tasks", "model", "disk",
    "time", "memory", "sampling rates", "heart rate", "recordings", "ready", "partly", "done",
    "stale", "failed", "stopped", "running", "report", "clipping", "large", "small", "undefined",
    "age and sex", "years", "the file", "none", "GPU time", "CPU time", "million", "billion",
    "gradients", "metric", "class", "column",
    "runs", "Task", "Analysis", "task", "taxonomy", "signals", "{what}: {value:,.2f} GB {place}",
    "japanese", "english", "synonyms", "{rate:,.1f} {unit}/s", "{n:,} more",
    "{name}: {n:,} of {n2:,} suspects, {seen}", "ready ({n:,} worth a look)",
    "The bank of wordings of {name}, row {number},", " It {what}.",
    "{name} ends in the middle of XML", "{name} is not well-formed XML",
    "echo", "echo findings", "echo in the data", "resampled", "cropped", "padded",
)  # fmt: skip


def messages() -> dict[str, list[str]]:
    """Every message, with the files that have it."""
    found: dict[str, list[str]] = {}
    for path in SOURCES:
        module = module_name(path)
        if module.startswith(ELSEWHERE):
            continue
        reader = _Reader(module)
        reader.visit(ast.parse(path.read_text(encoding="utf-8")))
        for message in reader.found:
            places = found.setdefault(message, [])
            place = str(path.relative_to(ROOT))
            if place not in places:
                places.append(place)
    for reason in Reason:
        found[str(reason)] = found[f"{{n:,}} {reason}"] = ["read_ecg/signal/record.py"]
    for message in (*CLICK, *OTHERS, *WORDS):
        found.setdefault(message, ["tests/helpers/messages.py"])
    return {message: found[message] for message in found if message not in NO_PROSE}


class _Reader(ast.NodeVisitor):
    def __init__(self, module: str) -> None:
        self.found: list[str] = []
        self._is_command = module.startswith("ecgpipe.commands.")
        self._is_told_on = module.startswith(TOLD_ON)
        self._is_script = module.startswith(SCRIPTS)
        self._in_error = False

    def _add(self, message: str) -> None:
        if self._is_script and not self._in_error:
            return
        literal = re.sub(r"{[^{}]*}", "\0", message.replace("{{", "").replace("}}", ""))
        if re.search(r"[a-z]{2}", literal) and re.search(r"\S\s+\S", literal):
            self.found.append(message)

    # --- what is passed over ---

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_Compare(self, node: ast.Compare) -> None:
        pass

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Dict(self, node: ast.Dict) -> None:
        keys = {key.value for key in node.keys if isinstance(key, ast.Constant)}
        if keys != {"ja", "en"}:
            for value in node.values:
                self.visit(value)

    def visit_Raise(self, node: ast.Raise) -> None:
        name = _called(node.exc)
        if self._is_told_on or name not in FOR_CALLERS:
            self._in_error = True
            self.generic_visit(node)
            self._in_error = False

    # --- what is found ---

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        text = ast.get_docstring(node)
        if self._is_command and text and any(map(_makes_command, node.decorator_list)):
            for paragraph in inspect.cleandoc(text).split("\n\n"):
                if not paragraph.startswith(" "):  # an example
                    self._add(" ".join(paragraph.split()))
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        for child in node.body:
            self.visit(child)

    def visit_Call(self, node: ast.Call) -> None:
        name = _called(node)
        if name in NOT_SHOWN:
            return
        nouns = {"counted": 1, "problem_at": 3}
        if name in nouns and len(node.args) > nouns[name]:
            noun = node.args[nouns[name]]
            if isinstance(noun, ast.Constant):
                self.found.append(f"{{n:,}} {noun.value}{{s}}")
        if name == "progress" and isinstance(node.args[2], ast.Constant):
            self.found.append(str(node.args[2].value))
        if name == "format" and isinstance(node.func, ast.Attribute) and _is_text(node.func.value):
            self._add(_for_format(_template([node.func.value])))
            return
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        parts = list(_summands(node))
        if not any(map(_is_text, parts)):
            self.generic_visit(node)
            return
        self._add(_template(parts))
        for part in parts:
            if isinstance(part, ast.JoinedStr):
                self._inside(part)
            elif not _is_text(part):
                self.visit(part)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._add(_template([node]))
        self._inside(node)

    def _inside(self, node: ast.JoinedStr) -> None:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._add(_template([node]))


def _for_format(template: str) -> str:
    """A text on which `str.format` is called: its holes get names too."""
    numbers = itertools.count(1)
    return re.sub(r"{{(:[^{}]*)?}}", lambda m: f"{{number{next(numbers)}{m[1] or ''}}}", template)


def _called(node: ast.AST | None) -> str:
    """The last name of what is called or named."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _makes_command(decorator: ast.expr) -> bool:
    return _called(decorator) in ("command", "group")


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _summands(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _summands(node.left)
        yield from _summands(node.right)
    else:
        yield node


def _template(parts: Sequence[ast.expr]) -> str:
    """Texts and values that follow each other, with a named hole for every value."""
    names: dict[str, int] = {}
    texts = []
    for part in parts:
        values = part.values if isinstance(part, ast.JoinedStr) else [part]
        for value in values:
            if isinstance(value, ast.Constant):
                texts.append(str(value.value).replace("{", "{{").replace("}", "}}"))
            else:
                texts.append(_hole(value, names))
    return "".join(texts)


def _hole(node: ast.expr, names: dict[str, int]) -> str:
    form = ""
    if isinstance(node, ast.FormattedValue):
        spec = node.format_spec
        if isinstance(spec, ast.JoinedStr):
            form = ":" + "".join(v.value for v in spec.values if isinstance(v, ast.Constant))
        if node.conversion == ord("r"):
            form = "!r" + form
        node = node.value
        if not form and _called(node) == "len":
            form = ":d"
    name = _name(node).strip("_").lower() or "value"
    names[name] = names.get(name, 0) + 1
    return "{" + name + (str(names[name]) if names[name] > 1 else "") + form + "}"


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        name = _called(node)
        if name == "len":
            return "n"
        if (
            name in ("str", "join", "sorted", "list", "repr", "round", "sum", "min", "max")
            and node.args
        ):
            return _name(node.args[0])
        return name
    if isinstance(node, ast.Subscript):
        inner = node.slice
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            return inner.value if inner.value.isidentifier() else "value"
        return _name(node.value)
    if isinstance(node, ast.BinOp):
        left = node.left
        return "s" if isinstance(left, ast.Constant) and left.value in ("s", "es") else _name(left)
    if isinstance(node, ast.IfExp):
        ends = [each.value for each in (node.body, node.orelse) if isinstance(each, ast.Constant)]
        return "s" if sorted(map(str, ends)) == ["", "s"] else "more"
    if isinstance(node, ast.Attribute | ast.Name):
        return _called(node)
    return "value"
