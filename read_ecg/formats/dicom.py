"""DICOM waveforms (12-lead ECG and general ECG objects).

Owns which of a file's groups is the recording, which samples are padding, and a channel's scale.
pydicom reads the file. ecgdatakit is not used: in a file that states 0 as padding (ECGToolkit's do)
it drops every zero, and it takes the first group whose label does not say "median".

Source: DICOM PS3.3 C.10.9, lead codes PS3.16 CID 3001.
"""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.clinical import (
    MAX_CHANNELS,
    MAX_SAMPLES,
    Channel,
    about,
    checked_bytes,
    filter_words,
    reasons,
    statement_words,
    to_record,
)
from ecgpipe.read_ecg.signal.leads import canonical_lead, is_lead_code, lead_of_code
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

if TYPE_CHECKING:
    from pydicom import Dataset

FORMAT = "DICOM waveform"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_DTYPES = {
    (8, "SB"): "i1",
    (8, "UB"): "u1",
    (16, "SS"): "i2",
    (16, "US"): "u2",
    (32, "SL"): "i4",
    (32, "UL"): "u4",
}
_BEAT_WORDS = re.compile(r"median|represent|average", re.IGNORECASE)
_LEAST_RHYTHM_S = 5.0  # a shorter derived group is a beat
_LEAST_PADDING_S = 0.1
_TAGS = [
    "WaveformSequence", "WaveformAnnotationSequence", "Manufacturer", "ManufacturerModelName",
    "PatientName", "PatientID", "PatientSex", "PatientAge", "PatientBirthDate",
    "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime",
    "StudyDate", "StudyTime",
]  # fmt: skip


@dataclass(frozen=True)
class _Group:
    """One multiplex group: channels that were sampled together."""

    item: "Dataset"
    rate_hz: float
    names: tuple[str, ...]
    duration_s: float
    derived: bool
    is_beat: bool

    @property
    def rank(self) -> tuple[bool, int, bool, float]:
        """The greatest is the recording: long enough, most leads, as acquired, longest."""
        leads = len({canonical_lead(name) for name in self.names} - {None})
        return self.duration_s >= _LEAST_RHYTHM_S, leads, not self.derived, self.duration_s


def is_dicom(head: bytes, path: Path) -> bool:
    """Whether these are the first bytes of a file of this format."""
    return head[128:132] == b"DICM"


def read_dicom(path: Path) -> EcgRecord:
    """Read the rhythm group, not the median beat; raises RecordError."""
    with reasons(path, FORMAT):
        dataset = _read_dataset(path)
        groups = [_group(item, path) for item in dataset.get("WaveformSequence") or []]
        rhythms = [group for group in groups if not group.is_beat]
        if not rhythms:
            raise RecordError(
                Reason.TOO_SHORT if groups else Reason.UNREADABLE,
                f"{path.name} holds {'only a median beat' if groups else 'no waveform'}",
            )
        group = max(rhythms, key=lambda one: one.rank)
        little = dataset.original_encoding[1] is not False
        channels, notes = _channels(group, little, path)
        return to_record(channels, path, notes, _about(dataset, group.item))


def _read_dataset(path: Path) -> "Dataset":
    import pydicom
    from pydicom.filereader import read_file_meta_info

    # In memory: from a file, pydicom would request as many bytes as a length claims, up to 4 GB.
    content = io.BytesIO(checked_bytes(path))
    if read_file_meta_info(path).get("TransferSyntaxUID") == _DEFLATED:
        raise RecordError(
            Reason.UNREADABLE,
            f"{path.name} is deflated, which is not supported; convert it (dcmconv)",
        )
    return pydicom.dcmread(content, specific_tags=list(_TAGS))


def _group(item: "Dataset", path: Path) -> _Group:
    channels = list(item.get("ChannelDefinitionSequence") or [])
    n_channels, n_samples = int(item.NumberOfWaveformChannels), int(item.NumberOfWaveformSamples)
    if not 1 <= n_channels <= MAX_CHANNELS or not 1 <= n_samples <= MAX_SAMPLES:
        raise RecordError(
            Reason.UNREADABLE,
            f"{path.name} claims {n_channels:,} channels of {n_samples:,} samples",
        )
    if len(channels) != n_channels:
        raise RecordError(
            Reason.UNREADABLE, f"{path.name} describes {len(channels)} of {n_channels} channels"
        )
    rate_hz = float(item.SamplingFrequency)
    if not 1 <= rate_hz <= 1e5:
        raise RecordError(
            Reason.UNREADABLE, f"{path.name}: {rate_hz:g} is not a sampling rate in Hz"
        )
    derived = str(item.get("WaveformOriginality", "")).upper() == "DERIVED"
    duration_s = n_samples / rate_hz
    named_beat = bool(_BEAT_WORDS.search(str(item.get("MultiplexGroupLabel", ""))))
    return _Group(
        item=item,
        rate_hz=rate_hz,
        names=tuple(_lead_name(channel, path) for channel in channels),
        duration_s=duration_s,
        derived=derived,
        is_beat=named_beat or (derived and duration_s < _LEAST_RHYTHM_S),
    )


def _lead_name(channel: "Dataset", path: Path) -> str:
    """By the code of its source, otherwise by the code's meaning or the channel's label."""
    source = _first(channel, "ChannelSourceSequence")
    meaning = str(source.get("CodeMeaning", "")).strip() if source else ""
    code = str(source.get("CodeValue", "")).strip() if source else ""
    meant = canonical_lead(meaning)
    if not is_lead_code(code):
        return meaning if meant else str(channel.get("ChannelLabel", "")).strip()
    coded = lead_of_code(code)
    if coded and meant and coded != meant:
        raise RecordError(Reason.LEADS, f"{path.name}: the code of {meant} means {coded}")
    return coded or f"code {code}"


def _channels(group: _Group, little: bool, path: Path) -> tuple[list[Channel], tuple[str, ...]]:
    codes = _codes(group.item, little, path)
    missing, notes = _missing(codes, group)
    values = codes.astype(np.float64)
    values[missing] = np.nan
    channels = []
    definitions = group.item.ChannelDefinitionSequence
    for name, channel, row in zip(group.names, definitions, values, strict=True):
        unit = _first(channel, "ChannelSensitivityUnitsSequence")
        correction = _float(channel, "ChannelSensitivityCorrectionFactor", 1.0)
        channels.append(
            Channel(
                name=name,
                values=row,
                rate_hz=group.rate_hz,
                units_per_value=_float(channel, "ChannelSensitivity", 0.0) * correction,
                unit=str(unit.get("CodeValue", "")) if unit else "",
                offset=_float(channel, "ChannelBaseline", 0.0),
            )
        )
    skews = ("ChannelTimeSkew", "ChannelSampleSkew")
    if any(_float(channel, skew, 0.0) for channel in definitions for skew in skews):
        notes += ("skew between channels left as it is",)
    return channels, notes


def _codes(item: "Dataset", little: bool, path: Path) -> npt.NDArray[Any]:
    """(channels, samples) as stored."""
    bits, kind = int(item.WaveformBitsAllocated), str(item.WaveformSampleInterpretation)
    if (bits, kind) not in _DTYPES:
        raise RecordError(
            Reason.UNREADABLE, f"{path.name}: {bits}-bit samples of type {kind} are not supported"
        )
    dtype = np.dtype(_DTYPES[bits, kind]).newbyteorder("<" if little else ">")
    n_channels, n_samples = int(item.NumberOfWaveformChannels), int(item.NumberOfWaveformSamples)
    data = bytes(item.WaveformData)
    if len(data) < n_channels * n_samples * dtype.itemsize:
        raise RecordError(
            Reason.TRUNCATED,
            f"{path.name} holds {len(data) // dtype.itemsize // n_channels:,} of the"
            f" {n_samples:,} samples per channel that it states",
        )
    return np.frombuffer(data, dtype, n_channels * n_samples).reshape(n_samples, n_channels).T


def _missing(
    codes: npt.NDArray[Any], group: _Group
) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    """Which samples are padding.

    The stated padding value counts only where it cannot be signal: far from all other values of its
    channel, or in all channels at the end. ECGToolkit states 0, which is also 0 mV.
    """
    missing = np.zeros(codes.shape, np.bool_)
    if codes.dtype.kind == "i":
        missing |= codes == np.iinfo(codes.dtype).min
    stated = group.item.get("WaveformPaddingValue")
    if isinstance(stated, bytes) and len(stated) >= codes.dtype.itemsize:
        padding = np.frombuffer(stated, codes.dtype, 1)[0]
        is_padding = codes == padding
        trailing = _trailing(is_padding.all(axis=0))
        if trailing >= _LEAST_PADDING_S * group.rate_hz:
            missing[:, codes.shape[1] - trailing :] = True
        for row, same, lost in zip(codes, is_padding, missing, strict=True):
            if same.any() and _is_far(int(padding), row[~(same | lost)]):
                lost |= same
    return missing, ("padding is no reading",) if missing.any() else ()


def _trailing(flags: npt.NDArray[np.bool_]) -> int:
    """The length of the unbroken run of set flags at the end."""
    unset = np.flatnonzero(~flags)
    return len(flags) - (int(unset[-1]) + 1 if len(unset) else 0)


def _is_far(padding: int, signal: npt.NDArray[Any]) -> bool:
    """Whether a value is farther from a signal than the signal's range."""
    if not len(signal):
        return False
    low, high = int(signal.min()), int(signal.max())
    return max(low - padding, padding - high) > max(high - low, 1)


def _about(dataset: "Dataset", item: "Dataset") -> dict[str, str]:
    channel = _first(item, "ChannelDefinitionSequence")
    texts = _texts([dataset, *(dataset.get("WaveformSequence") or [])])
    names = re.split(r"[\^=]", str(dataset.get("PatientName", "")))
    recorded = _recorded_at(dataset)
    return about(
        format=FORMAT,
        device=f"{dataset.get('Manufacturer', '')} {dataset.get('ManufacturerModelName', '')}",
        filters=filter_words(
            *(
                _float(channel, f"{name}Frequency", 0.0)
                for name in ("FilterLow", "FilterHigh", "NotchFilter")
            )
        )
        if channel
        else "",
        statements=statement_words(texts, [*names, str(dataset.get("PatientID", ""))]),
        recorded_at=recorded.isoformat(" ", "seconds") if recorded else "",
        sex=str(dataset.get("PatientSex", "")),
        age=_age(dataset, recorded),
    )


def _texts(datasets: Iterable["Dataset"]) -> list[str]:
    """The device's statements: annotations of free text."""
    items = [
        item for dataset in datasets for item in dataset.get("WaveformAnnotationSequence") or []
    ]
    return [str(item.get("UnformattedTextValue") or "") for item in items]


def _recorded_at(dataset: "Dataset") -> datetime | None:
    moments = [str(dataset.get("AcquisitionDateTime", ""))]
    for name in ("Acquisition", "Content", "Study"):
        moments.append(f"{dataset.get(f'{name}Date', '')}{dataset.get(f'{name}Time', '')}")
    for moment in moments:
        if len(moment) >= 14 and moment[:14].isdigit():
            try:
                return datetime.strptime(moment[:14], "%Y%m%d%H%M%S")
            except ValueError:
                continue
    return None


def _age(dataset: "Dataset", recorded: datetime | None) -> int | None:
    stated = re.fullmatch(r"(\d{3})([YMWD])", str(dataset.get("PatientAge", "")))
    if stated:
        return int(stated[1]) // {"Y": 1, "M": 12, "W": 52, "D": 365}[stated[2]]
    born = str(dataset.get("PatientBirthDate", ""))
    if recorded is None or not re.fullmatch(r"\d{8}", born):
        return None
    return recorded.year - int(born[:4]) - (f"{recorded:%m%d}" < born[4:])


def _first(dataset: "Dataset", name: str) -> "Dataset | None":
    items = dataset.get(name)
    return items[0] if items else None


def _float(dataset: "Dataset", name: str, missing: float) -> float:
    value = dataset.get(name)
    return missing if value is None or str(value).strip() == "" else float(value)
