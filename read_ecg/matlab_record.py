"""MATLAB files of version 5 to 7: one matrix in a .mat file.

Owns choosing the matrix. A .mat with a .hea beside it is WFDB and is not read here. Version 7.3 is
HDF5 inside, with MATLAB's own habits; it is refused with the way out. Rate, units and leads stand
in a JSON file beside it (see array_record).
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.array_record import check_shape, read_facts, reading, to_record
from ecgpipe.read_ecg.record import EcgRecord, Reason

_VERSION_5 = b"MATLAB 5.0 MAT-file"
_VERSION_7_3 = b"MATLAB 7.3 MAT-file"
_KINDS = {"double", "single"} | {f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)}


def is_matlab(head: bytes, path: Path) -> bool:
    """Whether a file begins as MATLAB's do, of any version since 5."""
    return head.startswith((_VERSION_5, _VERSION_7_3))


def read_matlab(path: Path) -> EcgRecord:
    """Read one recording from a .mat file of version 5 to 7.

    Raises:
        RecordError: it is damaged or of version 7.3, holds several matrices and nothing says which,
            or rate, units or leads are said nowhere.
    """
    with path.open("rb") as file:
        if file.read(len(_VERSION_7_3)) == _VERSION_7_3:
            raise RecordError(
                Reason.UNREADABLE,
                f"{path.name} is of MATLAB's version 7.3; save it with `save(name, '-v7')`",
            )
    facts = read_facts(path)
    with reading(path, "cannot be read as MATLAB"):
        values = _matrix(path, facts.variable)
    return to_record(values, facts, path, "MATLAB")


def _matrix(path: Path, variable: str | None) -> npt.NDArray[Any]:
    """The matrix of that name, or the only one; its size is looked at before it is unpacked."""
    import scipy.io  # slow to import, and seldom needed

    found = {
        name: shape
        for name, shape, kind in scipy.io.whosmat(path)
        if kind in _KINDS and variable in (None, name)
    }
    if variable is None:  # single values, such as a rate, are no signal
        found = {name: shape for name, shape in found.items() if max(shape) > 1}
    if len(found) != 1:
        raise RecordError(
            Reason.UNREADABLE,
            f"{path.name} holds {len(found)} matrices of numbers"
            f"{'' if variable is None else f' named {variable!r}'}; say which as `variable` in the"
            " JSON beside it",
        )
    ((name, shape),) = found.items()
    check_shape(shape, np.float64, path)
    return np.asarray(scipy.io.loadmat(path, variable_names=[name])[name])
