"""The product's source files: where each belongs, and what it imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("read_ecg", "cache", "embed_text", "train_ecg", "evaluate", "apply_model", "write_report")
PARTS = ("stages", "commands", "drawing", "cluster")  # of ecgpipe/ itself
SOURCES = sorted(
    path
    for folder in ("ecgpipe", *ROOMS)
    for path in (ROOT / folder).rglob("*.py")
    if not (folder == "ecgpipe" and path.relative_to(ROOT).parts[1] in ROOMS)
)

DOOR = ROOT / "ecgpipe" / "__init__.py"
"""What Python users import; it leads into a room, but only when called."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "ecgpipe" else ("ecgpipe", *parts))


def imported(path: Path) -> Iterator[str]:
    """Every module a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def layer(module: str) -> str:
    """The room, one of PARTS, or 'ground': where a module belongs."""
    part = [*module.split("."), ""][1]
    if part in ROOMS or part in PARTS:
        return part
    return "commands" if part == "__main__" else "ground"


FOLDERS = sorted({path.parent for path in SOURCES})
