"""What a GGUF file says of its model before the weights: widths, and how many numbers it holds.

Owns as much of the format as that takes: the `gguf` package reads a vocabulary in seconds, which
is long for an estimate. Source: docs/gguf.md of ggml, versions 2 and 3.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_NUMBERS = ("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?", "", "", "<Q", "<q", "<d")  # by type
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class GgufHeader:
    """The facts of a header."""

    fields: dict[str, Any]
    """Numbers and texts by name; arrays, such as the vocabulary, are left out."""

    tensors: dict[str, int]
    """How many numbers each tensor holds, in its own precision or quantised."""

    def of_architecture(self, name: str) -> int | None:
        """A number that the architecture states, such as `embedding_length`."""
        value = self.fields.get(f"{self.fields.get('general.architecture')}.{name}")
        return value if isinstance(value, int) else None


def read_gguf_header(path: Path) -> GgufHeader | None:
    """The header of a GGUF file; None if it is not one of these versions, or ends too early."""
    with path.open("rb") as file:
        try:
            if file.read(4) != b"GGUF" or _number(file, "<I") not in (2, 3):
                return None
            n_tensors, n_fields = _number(file, "<Q"), _number(file, "<Q")
            fields = dict(_field(file) for _ in range(n_fields))
            tensors = dict(_tensor(file) for _ in range(n_tensors))
        except (struct.error, UnicodeDecodeError, IndexError):
            return None
    known = {name: value for name, value in fields.items() if value is not None}
    return GgufHeader(known, tensors)


def _field(file: BinaryIO) -> tuple[str, Any]:
    name = _text(file)
    return name, _value(file, _number(file, "<I"))


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind != _ARRAY:
        return _number(file, _NUMBERS[kind])
    of, n = _number(file, "<I"), _number(file, "<Q")
    if of in (_STRING, _ARRAY):
        for _ in range(n):
            _value(file, of)
    else:
        file.seek(n * struct.calcsize(_NUMBERS[of]), 1)
    return None


def _tensor(file: BinaryIO) -> tuple[str, int]:
    name = _text(file)
    sizes = [_number(file, "<Q") for _ in range(_number(file, "<I"))]
    file.seek(4 + 8, 1)  # its type, and where it is
    return name, math.prod(sizes)


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "<Q")).decode()


def _number(file: BinaryIO, form: str) -> Any:
    (value,) = struct.unpack(form, file.read(struct.calcsize(form)))
    return value
