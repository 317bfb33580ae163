"""WFDB recordings, the format of PhysioNet and of this project's examples.

Owns reading samples. Format 16 in a single file is read here, 16 times as fast as with the wfdb
package and with verified checksums; every other format goes through wfdb.

Source: WFDB signal(5).
"""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecgpipe.errors import RecordError
from ecgpipe.read_ecg.formats.clinical import MAX_SAMPLES
from ecgpipe.read_ecg.formats.wfdb_header import Header, SignalLine, read_header
from ecgpipe.read_ecg.signal.leads import arrange_leads
from ecgpipe.read_ecg.signal.record import EcgRecord, Reason

_INVALID = -32768  # format 16's "no reading"


def read_wfdb(header_path: Path, header: Header | None = None) -> EcgRecord:
    """Read the recording that a .hea file describes.

    Args:
        header_path: the .hea file.
        header: its content, if a data set has corrected it; None reads the file.

    Returns:
        The whole recording, at its own rate; the format's 'invalid sample' is NaN.

    Raises:
        RecordError: a file is missing or shorter than stated, a checksum or the header is wrong,
            no signal is a known lead, or it is too long for an ECG.
    """
    header = header or read_header(header_path)
    _check_length(header_path, header.n_samples or 0)
    names = [signal.name for signal in header.signals]
    if _is_plain(header):
        adc = _read_format_16(header_path, header)
        gain_per_mv = np.array([signal.scale.gain_per_mv for signal in header.signals])
        baseline = np.array([signal.scale.baseline for signal in header.signals])
        signal_mv = adc_to_millivolts(adc, gain_per_mv, baseline)
    else:
        signal_mv = _read_with_wfdb(header_path, header)
    arranged, notes = arrange_leads(names, list(signal_mv))
    return EcgRecord(arranged, header.rate_hz, notes)


def adc_to_millivolts(
    adc: npt.NDArray[np.int16],
    gain_per_mv: npt.NDArray[np.float64],
    baseline: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """Turn stored integers into millivolts, with one gain and baseline per lead.

    Args:
        adc: (leads, samples), as stored.
        gain_per_mv: (leads,), ADC units per mV, not 0.
        baseline: (leads,), the ADC value that stands for 0 mV.

    Returns:
        (leads, samples) in mV. A sample stored as -32768 ("no reading") is NaN.

    Source: WFDB header(5), "ADC gain" and "baseline"; signal(5), format 16.
    """
    from_zero = adc - baseline[:, None] if baseline.any() else adc
    millivolts = np.empty(adc.shape, np.float32)
    # In double precision, so that there is only one rounding.
    np.divide(
        from_zero, gain_per_mv[:, None], out=millivolts, dtype=np.float64, casting="same_kind"
    )
    if adc.size and adc.min() == _INVALID:
        millivolts[adc == _INVALID] = np.nan
    return millivolts


def _check_length(header_path: Path, n_samples: int) -> None:
    """Refuse a Holter recording before it is read: twelve such leads fill the memory."""
    if n_samples > MAX_SAMPLES:
        raise RecordError(
            Reason.UNREADABLE,
            f"{header_path.name} describes {n_samples:,} samples of each signal; an ECG may have up"
            f" to {MAX_SAMPLES:,}. Cut out the part that is wanted",
        )


def _is_plain(header: Header) -> bool:
    """Whether all signals are interleaved in one 16-bit file."""
    (form, _), *others = {(signal.format, signal.file_name) for signal in header.signals}
    return not others and (form.number, form.samples_per_frame, form.skew) == (16, 1, 0)


def _read_format_16(header_path: Path, header: Header) -> npt.NDArray[np.int16]:
    """All signals of one interleaved 16-bit file as (signals, samples), as stored."""
    adc = _read_samples(header_path, header)
    sums = adc.sum(axis=1, dtype=np.int16)  # the checksum is modulo 65,536, as is this sum
    for signal, total in zip(header.signals, sums.tolist(), strict=True):
        _check_sum(signal, total, header)
    return adc


def _read_samples(header_path: Path, header: Header) -> npt.NDArray[np.int16]:
    path = header_path.with_name(header.signals[0].file_name)
    offset, n_signals = header.signals[0].format.byte_offset, len(header.signals)
    try:
        with path.open("rb") as file:
            n_values = max(os.fstat(file.fileno()).st_size - offset, 0) // 2
            n_samples = n_values // n_signals if header.n_samples is None else header.n_samples
            _check_length(header_path, n_samples)
            if n_samples < 1 or n_values < n_samples * n_signals:
                raise RecordError(
                    Reason.TRUNCATED,
                    f"{path.name} holds {n_values // n_signals:,} of the {n_samples:,} samples per"
                    " signal that its header states",
                )
            if offset:
                file.seek(offset)
            values = np.empty(n_samples * n_signals, "<i2")
            if file.readinto(values.view(np.uint8).data) != values.nbytes:
                raise RecordError(Reason.TRUNCATED, f"{path.name} was shortened while it was read")
    except FileNotFoundError:
        raise RecordError(Reason.MISSING_FILE, f"{path} does not exist") from None
    except OSError as error:
        raise RecordError(Reason.UNREADABLE, f"{path}: {error.strerror}") from error
    return np.ascontiguousarray(values.reshape(n_samples, n_signals).T)


def _check_sum(signal: SignalLine, total: int, header: Header) -> None:
    if signal.checksum is None or header.n_samples is None:
        return
    if (total - signal.checksum) % 65536:
        raise RecordError(
            Reason.CHECKSUM,
            f"{signal.file_name}, signal {signal.name!r}: the samples do not match the header's"
            " checksum; the file is damaged or belongs to a different header",
        )


def _read_with_wfdb(header_path: Path, header: Header) -> npt.NDArray[np.float32]:
    """Any other format, as (signals, samples) in mV."""
    import wfdb  # slow to import, and rarely needed

    for name in {signal.file_name for signal in header.signals}:
        try:
            size = header_path.with_name(name).stat().st_size
            if header.n_samples is None:  # no format takes more than four bytes
                _check_length(header_path, size // (4 * len(header.signals)))
        except FileNotFoundError:
            file = header_path.with_name(name)
            raise RecordError(Reason.MISSING_FILE, f"{file} does not exist") from None
        except (OSError, ValueError) as error:  # a name too long, or with a zero byte
            raise RecordError(
                Reason.UNREADABLE, f"{header_path.name} names an impossible file: {error}"
            ) from None
    try:
        record = wfdb.rdrecord(
            str(header_path.with_suffix("")), physical=False, smooth_frames=False
        )
        physical = record.dac(expanded=True)
    except Exception as error:  # wfdb can raise anything
        raise RecordError(
            Reason.UNREADABLE, f"{header_path.name}: the wfdb package cannot read it ({error})"
        ) from error
    rows = []
    for signal, stored, values in zip(header.signals, record.e_d_signal, physical, strict=True):
        if signal.format.skew == 0:  # wfdb has already shifted the others
            _check_sum(signal, int(np.sum(stored, dtype=np.int64)), header)
        # The mean of the samples of a frame, so that all signals have the frame's rate.
        frames = np.asarray(values).reshape(-1, signal.format.samples_per_frame).mean(axis=1)
        rows.append(frames * signal.scale.mv_per_unit)
    return np.stack(rows).astype(np.float32)
