"""Which format a file has, by its content.

Owns the list of formats and the order in which they are tried. WFDB is not in the list: it is
recognised by its .hea file, which `recording` looks for first.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ecgpipe.read_ecg.formats.aecg import is_aecg, read_aecg
from ecgpipe.read_ecg.formats.csv_file import is_csv, read_csv
from ecgpipe.read_ecg.formats.dicom import is_dicom, read_dicom
from ecgpipe.read_ecg.formats.edf import is_edf, read_edf
from ecgpipe.read_ecg.formats.hdf5 import is_hdf5, read_hdf5
from ecgpipe.read_ecg.formats.matlab import is_matlab, read_matlab
from ecgpipe.read_ecg.formats.mfer import is_mfer, read_mfer
from ecgpipe.read_ecg.formats.muse import is_muse, read_muse
from ecgpipe.read_ecg.formats.numpy_file import is_numpy, read_numpy
from ecgpipe.read_ecg.formats.philips import is_philips, read_philips
from ecgpipe.read_ecg.formats.scp import is_scp, read_scp
from ecgpipe.read_ecg.signal.record import EcgRecord

HEAD_BYTES = 1 << 16


class Format(NamedTuple):
    """One format: how it is recognised, and its reader."""

    name: str
    is_it: Callable[[bytes, Path], bool]
    read: Callable[[Path], EcgRecord]


# The surest signs first. Then MFER, which without its preamble is only a chain of tags. CSV last,
# because any text in a file called .csv is taken for one.
FORMATS = (
    Format("DICOM waveform", is_dicom, read_dicom),
    Format("SCP-ECG", is_scp, read_scp),
    Format("EDF", is_edf, read_edf),
    Format("HDF5", is_hdf5, read_hdf5),
    Format("NumPy", is_numpy, read_numpy),
    Format("MATLAB", is_matlab, read_matlab),
    Format("HL7 aECG", is_aecg, read_aecg),
    Format("GE MUSE XML", is_muse, read_muse),
    Format("Philips XML", is_philips, read_philips),
    Format("MFER", is_mfer, read_mfer),
    Format("CSV", is_csv, read_csv),
)
NAMES = "WFDB (.hea with .dat or .mat), " + ", ".join(form.name for form in FORMATS)


def find_format(path: Path) -> Format | None:
    """The format that a file's first bytes show, whatever its name; None if it is unknown."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return next((form for form in FORMATS if form.is_it(head, path)), None)
