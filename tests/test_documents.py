"""What the documents say is true: links lead somewhere, commands parse, names exist."""

import ast
import dataclasses
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from documents import PATHS, ROOT, Document, read_document
from sources import DOOR, FOLDERS, PARTS, ROOMS, SOURCES, imported, layer, module_name
from toy_experiment import Experiment, ecgpipe

from ecgpipe.commands.main import main
from ecgpipe.config.file import load_cluster, load_config
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.evaluate.analyses.registry import ANALYSES

DOCUMENTS = {str(path.relative_to(ROOT)): read_document(path) for path in PATHS}
README = DOCUMENTS["README.md"]
each_document = pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)

# They tell what was, and may name what is gone.
HISTORY = {"CHANGELOG.md", "docs/decisions.md", "docs/lab-log.md"}
# What a reader is to write, and files of an experiment.
EXAMPLES = {"read_ecg/datasets/ludb.py", "LudbSource"}


@each_document
def test_every_link_leads_somewhere(document: Document) -> None:
    for link in document.links:
        if re.match(r"https?://", link):
            continue
        file, _, anchor = link.partition("#")
        target = (document.path.parent / file).resolve() if file else document.path
        assert target.exists(), f"{document.name}: {link}"
        if anchor:
            assert anchor in read_document(target).anchors, f"{document.name}: {link}"


def without_comments(text: str) -> list[str]:
    """The lines of a block without what is said about them."""
    lines = (re.sub(r"(^|\s)#.*", "", line).rstrip() for line in text.splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize("japanese", [name for name in DOCUMENTS if name.endswith(".ja.md")])
def test_a_japanese_document_has_the_sections_tables_and_code_of_its_english_one(
    japanese: str,
) -> None:
    ja, en = DOCUMENTS[japanese], DOCUMENTS[japanese.replace(".ja.md", ".md")]
    assert [level for level, _ in ja.outline] == [level for level, _ in en.outline]
    assert ja.n_table_rows == en.n_table_rows
    for (language, ours), (their_language, theirs) in zip(ja.blocks, en.blocks, strict=True):
        assert language == their_language
        if language in ("sh", "yaml", "python", "json"):
            for our_line, their_line in zip(
                without_comments(ours), without_comments(theirs), strict=True
            ):
                if our_line.isascii():  # names and wordings may be in the page's language
                    assert our_line.replace('"ja"', '"en"') == their_line


def twin(name: str) -> str:
    """The same document in the other language."""
    plain = name.removesuffix(".md").removesuffix(".ja")
    return f"{plain}.md" if name.endswith(".ja.md") else f"{plain}.ja.md"


FOR_USERS = [name for name in DOCUMENTS if re.match("docs/|README", name) and name not in HISTORY]


@pytest.mark.parametrize("name", FOR_USERS)
def test_a_document_for_users_exists_in_both_languages_and_begins_with_a_link_to_the_other(
    name: str,
) -> None:
    assert twin(name) in DOCUMENTS
    assert DOCUMENTS[name].links[0] == Path(twin(name)).name


@pytest.mark.parametrize("name", [name for name in FOR_USERS if name.endswith(".ja.md")])
def test_a_japanese_document_leads_to_japanese_ones(name: str) -> None:
    links = [link.partition("#")[0] for link in DOCUMENTS[name].links[1:]]
    folder = DOCUMENTS[name].path.parent
    for link in links:
        if link.endswith(".md") and not link.endswith(".ja.md") and (folder / twin(link)).exists():
            assert twin(link) in links, f"{name}: {link}"


@pytest.mark.parametrize("name", [name for name in FOR_USERS if name.endswith(".ja.md")])
def test_a_japanese_document_names_every_setting_file_and_option_of_its_english_one(
    name: str,
) -> None:
    english, japanese = DOCUMENTS[twin(name)], DOCUMENTS[name]
    assert {s for s in english.spans if " " not in s} <= set(japanese.spans)


# Commands ---------------------------------------------------------------------------------------


def all_commands() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS.values():
        for line in document.commands():
            for part in re.split(r"\s&&\s", line):
                yield document.name, part.strip()


@pytest.mark.parametrize(("name", "line"), list(all_commands()), ids=lambda value: value[:60])
def test_every_shell_command_parses(name: str, line: str) -> None:
    if inner := re.fullmatch(r'eval "\$\((.*)\)"(\s*#.*)?', line):
        line = inner[1]
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"\w+=\S*", words[0]):
        words.pop(0)  # a variable of the environment
    match words:
        case []:
            pass  # a comment
        case ["ecgpipe", *arguments] | [".venv/bin/ecgpipe", *arguments]:
            parse_ecgpipe(arguments)
        case ["torchrun", "--nproc-per-node", number, "-m", "ecgpipe", *arguments]:
            assert number.isdigit()
            parse_ecgpipe(arguments)
        case ["make", target, *settings]:
            assert target in make_targets()
            assert all(re.fullmatch(r"[A-Z]+=\S+", word) for word in settings)
        case [python, "-m", module, *_] if python.endswith(("python", "python3")):
            assert importlib.util.find_spec(module), module
        case [python, file, *_] if python.endswith(("python", "python3", "bash")):
            assert (ROOT / file).exists(), file
        case [program, *arguments] if program.rsplit("/", 1)[-1] in PROGRAMS:
            files = [word for word in arguments if word.endswith((".txt", ".toml"))]
            assert all((ROOT / file).exists() for file in files)
        case _:
            pytest.fail(f"{name}: no rule here says how to check this: {line}")


PROGRAMS = {"pip", "git", "module", "cd", "pre-commit", "ruff", "mypy", "pytest", "npm", "source"}


def parse_ecgpipe(arguments: list[str]) -> None:
    """Parse as click would, without running anything."""
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, arguments[0])
        assert found is not None, f"ecgpipe has no command {arguments[0]}"
        command, arguments = found, arguments[1:]
        context = click.Context(command, parent=context)
    parsed = command.make_context(command.name, list(arguments), parent=context.parent)
    settings = [*parsed.params.get("overrides", ()), *parsed.params.get("settings", ())]
    for setting in [*settings, *parsed.params.get("grids", ())]:
        assert is_setting(setting.partition("=")[0]), setting


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))


def is_setting(path: str) -> bool:
    """Whether pipeline.yaml has this setting, such as train.loss or data.sources.0.root."""
    value: Any = PipelineConfig
    for name in path.split("."):
        kinds = [value, *getattr(value, "__args__", ())]
        fields = {
            f.name: f.type for kind in kinds if dataclasses.is_dataclass(kind)
            for f in dataclasses.fields(kind)
        }  # fmt: skip
        if name.isdigit() or (not fields and value is not PipelineConfig):
            return True  # into a list or a union: the loader's own tests
        if name not in fields:
            return False
        value = fields[name]
    return True


@each_document
def test_every_make_target_exists(document: Document) -> None:
    for text in [*document.spans, *(text for _, text in document.blocks)]:
        for target in re.findall(r"(?:^|\n)make ([a-z][\w-]*)", text):
            assert target in make_targets(), f"{document.name}: make {target}"


def all_options() -> set[str]:
    def of(command: click.Command) -> Iterator[str]:
        for parameter in command.params:
            yield from (*parameter.opts, *parameter.secondary_opts)
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                inner = command.get_command(click.Context(command), name)
                assert inner is not None
                yield from of(inner)

    return {*of(main), "--help", "--version"}


@each_document
def test_every_command_and_option_of_ecgpipe_exists(document: Document) -> None:
    if document.name in HISTORY:
        return
    for span in document.spans:
        if span.startswith("--"):
            assert span.split()[0].split("=")[0] in OTHER_OPTIONS | all_options(), span
        elif re.match(r"ecgpipe [a-z]", span):
            assert span.split()[1] in main.list_commands(click.Context(main)), span


# Of benchmarks, of tests and of other programs.
OTHER_OPTIONS = {"--miniature", "--budgets", "--threads", "--most-seconds", "--compile"}
OTHER_OPTIONS |= {"--durations", "--echo", "--only", "--patients", "--records", "--wheels"}


def test_the_readme_lists_every_command_and_no_other() -> None:
    listed = re.findall(r"^\| `ecgpipe ([\w-]+)` \|", README.path.read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(main.list_commands(click.Context(main)))


# Names ------------------------------------------------------------------------------------------


@each_document
def test_every_setting_exists(document: Document) -> None:
    if document.name in HISTORY:
        return
    for span in document.spans:
        if re.fullmatch(r"(data|text|train|eval|cluster)(\.(?!py\b)[a-z_]+)+(: .*|=\S+)?", span):
            assert is_setting(re.split(r"[:=]", span)[0]), f"{document.name}: {span}"


def tracked_names() -> set[str]:
    folders = ("ecgpipe", *ROOMS, "benchmarks", "examples", "tests", "containers", "docs")
    return {path.name for folder in folders for path in (ROOT / folder).rglob("*.*")}


@each_document
def test_every_file_of_ours_exists(document: Document) -> None:
    ours = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"work", ".venv"}
    names = tracked_names()
    missing = []
    for span in document.spans:
        if not re.fullmatch(r"[\w./-]+", span) or span in EXAMPLES:
            continue
        if "/" in span and span.split("/")[0] in ours:
            places = (ROOT / span, document.path.parent / span, ROOT / f"{span}.py")
            if not any(place.exists() for place in places):
                missing.append(span)
        elif span.endswith(".py") and Path(span).name not in names:
            missing.append(span)
    assert not missing


def python_blocks() -> list[tuple[str, str]]:
    return [
        (document.name, text)
        for document in DOCUMENTS.values()
        for language, text in document.blocks
        if language == "python" and "from ecgpipe" in text
    ]


@pytest.mark.parametrize(("name", "text"), python_blocks())
def test_every_python_example_imports_what_exists(name: str, text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ecgpipe"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name) or alias.name in EXAMPLES, alias.name


# Settings ---------------------------------------------------------------------------------------


def yaml_blocks() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS.values():
        for language, text in document.blocks:
            if language == "yaml" and re.match(r"(data|text|train|eval|cluster):", text):
                yield document.name, text


@pytest.mark.parametrize(("name", "text"), list(yaml_blocks()))
def test_every_block_of_settings_is_accepted(name: str, text: str, tmp_path: Path) -> None:
    settings = yaml.safe_load((ROOT / "pipeline.yaml").read_text(encoding="utf-8"))
    shown = yaml.safe_load(text)
    for block, values in shown.items():
        settings[block] = settings.get(block, {}) | values
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    load_config(path)
    if "cluster" in shown:
        load_cluster(path)


# The README's commands, for real ----------------------------------------------------------------


@pytest.mark.pipeline
def test_the_readme_leads_from_a_table_to_results(
    tmp_path: Path, tiny_llama: Path, ecgs: Path
) -> None:
    """`init`, `check`, `run`, `run` again, `show`, `status`, `submit --dry-run`, as printed."""
    assert CliRunner().invoke(main, ["init", str(tmp_path / "pipeline.yaml")]).exit_code == 0
    experiment = Experiment(tmp_path, tiny_llama, ecgs)  # the settings one would edit

    def run(line: str) -> str:
        assert any(shown.startswith(line) for shown in [*README.commands(), *README.spans]), line
        code, out, err = ecgpipe(experiment.path, *line.split()[1:])
        assert code == 0, err
        return out

    assert "ready" in run("ecgpipe check")
    assert "any-hit@1" in run("ecgpipe run")
    report = tmp_path / "work" / "runs" / "toy" / "eval" / "report.html"
    before = report.stat().st_mtime_ns
    run("ecgpipe run")
    assert report.stat().st_mtime_ns == before
    assert "done" in run("ecgpipe status")
    run("ecgpipe show --suspects -n 12")
    cluster = "\ncluster: {scheduler: slurm, queue: gpu}\n"
    experiment.path.write_text(experiment.path.read_text() + cluster)
    assert "sbatch" in run("ecgpipe submit --dry-run")


def test_every_analysis_is_described_for_readers_and_for_programs() -> None:
    for page in ("docs/evaluation.md", "docs/evaluation.ja.md"):
        assert set(ANALYSES) <= set(", ".join(DOCUMENTS[page].headings).split(", "))
    schema = json.loads((ROOT / "docs" / "results.schema.json").read_text("utf-8"))
    assert set(schema["properties"]["analyses"]["properties"]) == set(ANALYSES)


# The architecture -------------------------------------------------------------------------------

both_architectures = pytest.mark.parametrize(
    "page",
    [DOCUMENTS["docs/architecture.md"], DOCUMENTS["docs/architecture.ja.md"]],
    ids=["en", "ja"],
)


@both_architectures
def test_the_architecture_names_every_folder(page: Document) -> None:
    table = [line for line in page.path.read_text("utf-8").splitlines() if line[0:1] == "|"]
    first_cells = "\n".join(line.split("|")[1] for line in table)
    for folder in FOLDERS:
        name = str(folder.relative_to(ROOT))
        inner = f"`{folder.name}/`" if "ecgpipe/stages/" in name else f"`{name}/`"
        assert inner in first_cells or name == "ecgpipe", name


@both_architectures
def test_the_picture_of_the_architecture_shows_the_imports(page: Document) -> None:
    (picture,) = (text for language, text in page.blocks if language == "mermaid")
    nodes = set(re.findall(r"^\s*(\w+)\[", picture, re.MULTILINE))
    assert nodes == {*ROOMS, *PARTS, "ground"}
    drawn = {node: set[str]() for node in nodes}
    for source, target in re.findall(r"^\s*(\w+) --> (\w+)$", picture, re.MULTILINE):
        drawn[source].add(target)
    real = {node: set[str]() for node in nodes}
    for path in SOURCES:
        if path == DOOR:
            continue
        own = layer(module_name(path))
        ours = (m for m in imported(path) if m.startswith("ecgpipe"))
        real[own] |= {layer(module) for module in ours} - {own}
    for node in nodes:
        assert real[node] <= reached(drawn, node), f"{node} imports what no arrow leads to"
        assert drawn[node] <= real[node], f"an arrow from {node} that no import makes"


def reached(arrows: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    open_nodes = [start]
    while open_nodes:
        for node in arrows[open_nodes.pop()] - found:
            found.add(node)
            open_nodes.append(node)
    return found
