"""Small files of every clinical format, written by hand from the standards, so that a test can also
write them wrongly. Nothing here uses ecgdatakit.
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mfer_files
import numpy as np
import numpy.typing as npt
from wfdb_files import LEADS, ecg_like

QUANTUM_UV = 5
RATE_HZ = 500
LEAD_CODES = mfer_files.LEAD_CODES  # SCP, DICOM and MFER number the leads alike
Adc = npt.NDArray[np.int16]


def twelve_leads(samples: int = 5000, seed: int = 0) -> Adc:
    """(12, samples) in units of 5 µV; Einthoven's and Goldberger's relations hold exactly."""
    adc = ecg_like(samples, seed) // QUANTUM_UV
    adc[:2] = adc[:2] // 2 * 2
    one, two = adc[0], adc[1]
    adc[2], adc[3], adc[4], adc[5] = two - one, -(one + two) // 2, one - two // 2, two - one // 2
    return adc.astype(np.int16)


def millivolts(adc: Adc) -> npt.NDArray[np.float64]:
    return adc * (QUANTUM_UV / 1000)


# --- DICOM ---


def dicom_group(
    adc: npt.NDArray[Any],
    *,
    label: str | None = "RHYTHM",
    originality: str | None = "ORIGINAL",
    rate_hz: float = RATE_HZ,
    leads: Sequence[str] = LEADS,
    padding: int | None = None,
    sensitivity: str | None = "5",
    correction: str = "1",
    baseline: str = "0",
    unit: str = "uV",
    coded: bool = True,
) -> Any:
    from pydicom import Dataset

    item = Dataset()
    if label is not None:
        item.MultiplexGroupLabel = label
    if originality is not None:
        item.WaveformOriginality = originality
    item.NumberOfWaveformChannels, item.NumberOfWaveformSamples = adc.shape
    item.SamplingFrequency = str(rate_hz)
    item.WaveformBitsAllocated, item.WaveformSampleInterpretation = 16, "SS"
    item.WaveformData = adc.T.astype("<i2").tobytes()
    if padding is not None:
        item.add_new(0x5400100A, "OW", struct.pack("<h", padding))
    item.ChannelDefinitionSequence = []
    for lead in leads:
        channel, source, units = Dataset(), Dataset(), Dataset()
        source.CodeValue = f"5.6.3-9-{LEAD_CODES[lead]}" if coded else "X"
        source.CodingSchemeDesignator, source.CodeMeaning = "SCPECG", f"Lead {lead} (Einthoven)"
        channel.ChannelSourceSequence = [source]
        if sensitivity is not None:
            channel.ChannelSensitivity = sensitivity
            channel.ChannelSensitivityCorrectionFactor = correction
            channel.ChannelBaseline = baseline
            units.CodeValue, units.CodingSchemeDesignator, units.CodeMeaning = unit, "UCUM", unit
            channel.ChannelSensitivityUnitsSequence = [units]
        channel.WaveformBitsStored = 16
        item.ChannelDefinitionSequence.append(channel)
    return item


def write_dicom(path: Path, groups: Sequence[Any]) -> Path:
    import pydicom
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset

    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.PatientName, dataset.PatientID, dataset.PatientSex = "Yamada^Taro", "P-4711", "F"
    dataset.PatientAge, dataset.AcquisitionDateTime = "064Y", "20240305090807"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Test", "CART-1"
    dataset.WaveformSequence = list(groups)
    dataset.WaveformAnnotationSequence = []
    for text in ("Sinus rhythm", "Confirmed by Dr. Suzuki", "Seen in YAMADA before"):
        note = Dataset()
        note.UnformattedTextValue = text
        dataset.WaveformAnnotationSequence.append(note)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


# --- HL7 aECG ---


def aecg_text(
    series: Mapping[str, Adc],
    *,
    leads: Sequence[str] = LEADS,
    unit: str | None = "uV",
    scale: str = "5",
    origin: str = "0",
    increment: tuple[str, str] = ("0.002", "s"),
) -> str:
    units = "" if unit is None else f' unit="{unit}"'
    blocks = []
    for code, adc in series.items():
        sequences = [
            '<component><sequence><code code="TIME_RELATIVE"/><value><head value="0" unit="s"/>'
            f'<increment value="{increment[0]}" unit="{increment[1]}"/></value></sequence>'
            "</component>"
        ]
        for lead, row in zip(leads, adc, strict=True):
            sequences.append(
                f'<component><sequence><code code="MDC_ECG_LEAD_{lead}"/><value>'
                f'<origin value="{origin}"{units}/><scale value="{scale}"{units}/>'
                f"<digits>{' '.join(map(str, row))}</digits></value></sequence></component>"
            )
        joined = "".join(sequences)
        blocks.append(
            f'<component><series><code code="{code}"/><component><sequenceSet>{joined}'
            "</sequenceSet></component></series></component>"
        )
    person = (
        "<componentOf><timepointEvent><componentOf><subjectAssignment><subject><trialSubject>"
        '<id extension="P-4711"/><subjectDemographicPerson><name><family>Yamada</family></name>'
        '<administrativeGenderCode code="F"/><birthTime value="19600102"/>'
        "</subjectDemographicPerson></trialSubject></subject></subjectAssignment></componentOf>"
        "</timepointEvent></componentOf>"
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!-- a comment <with> tags -->\n'
        '<AnnotatedECG xmlns="urn:hl7-org:v3"><effectiveTime><low value="20240305090807"/>'
        f"</effectiveTime>{person}{''.join(blocks)}</AnnotatedECG>\n"
    )


# --- GE MUSE ---

MUSE_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def muse_waveform(
    kind: str, adc: Adc, leads: Sequence[str], unit: str | None = "MICROVOLTS", crc: bool = True
) -> str:
    parts = [f"<Waveform><WaveformType>{kind}</WaveformType><SampleBase>{RATE_HZ}</SampleBase>"
             "<SampleExponent>0</SampleExponent><LowPassFilter>150</LowPassFilter>"]  # fmt: skip
    for lead, row in zip(leads, adc, strict=True):
        payload = row.astype("<i2").tobytes()
        units = "" if unit is None else f"<LeadAmplitudeUnits>{unit}</LeadAmplitudeUnits>"
        check = f"<LeadDataCRC32>{zlib.crc32(payload)}</LeadDataCRC32>" if crc else ""
        parts.append(
            f"<LeadData><LeadByteCountTotal>{len(payload)}</LeadByteCountTotal>"
            f"<LeadSampleCountTotal>{len(row)}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>{QUANTUM_UV}.00</LeadAmplitudeUnitsPerBit>{units}"
            f"<LeadID>{lead}</LeadID><LeadSampleSize>2</LeadSampleSize>{check}"
            f"<WaveFormData>{base64.b64encode(payload).decode()}</WaveFormData></LeadData>"
        )
    return "".join(parts) + "</Waveform>"


def muse_text(*waveforms: str) -> str:
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n'
        "<RestingECG><PatientDemographics><PatientID>P-4711</PatientID>"
        "<PatientLastName>Yamada</PatientLastName><Gender>FEMALE</Gender><PatientAge>64</PatientAge>"
        "<AgeUnits>YEARS</AgeUnits></PatientDemographics><TestDemographics>"
        "<AcquisitionDate>03-05-2024</AcquisitionDate><AcquisitionTime>09:08:07</AcquisitionTime>"
        "</TestDemographics><Diagnosis><DiagnosisStatement><StmtFlag>ENDSLINE</StmtFlag>"
        "<StmtText>Sinus rhythm</StmtText></DiagnosisStatement></Diagnosis>"
        f"{''.join(waveforms)}</RestingECG>\n"
    )


# --- Philips ---


def philips_text(
    adc: Adc, *, version: str = "1.04", resolution: str = "5", channels: int | None = None
) -> str:
    data = base64.b64encode(adc.astype("<i2").tobytes()).decode()
    count = len(adc) if channels is None else channels
    duration = adc.shape[1] * 1000 // RATE_HZ
    return (
        '<?xml version="1.0" encoding="utf-16"?>\n<restingecgdata xmlns="http://www3.medical">'
        "<documentinfo><documenttype>PhilipsECG</documenttype>"
        f"<documentversion>{version}</documentversion></documentinfo>"
        '<dataacquisition date="2024-03-05" time="09:08:07"><machine>CART-1</machine>'
        f"<signalcharacteristics><samplingrate>{RATE_HZ}</samplingrate>"
        f"<resolution>{resolution}</resolution><acquisitiontype>STD-12</acquisitiontype>"
        f"<numberchannelsallocated>{count}</numberchannelsallocated></signalcharacteristics>"
        "</dataacquisition><patient><generalpatientdata><patientid>P-4711</patientid>"
        "<name><lastname>Yamada</lastname></name><age><years>64</years></age><sex>Female</sex>"
        "</generalpatientdata></patient><waveforms>"
        f'<parsedwaveforms dataencoding="Base64" durationperchannel="{duration}">{data}'
        "</parsedwaveforms></waveforms></restingecgdata>"
    )


# --- SCP-ECG ---


def scp_bytes(
    adc: Adc,
    *,
    leads: Sequence[str] = LEADS,
    starts: Sequence[int] | None = None,
    avm_nv: int = QUANTUM_UV * 1000,
    difference: int = 0,
    huffman: bool = False,
    bimodal: bool = False,
    beat: Adc | None = None,
    beats_at: Sequence[int] = (),
    counts: Sequence[int] | None = None,
) -> bytes:
    """Sections 0, 1, (2), 3, (4, 5), 6. With `beat`, it is subtracted at each place (from 0)."""
    starts = [1] * len(adc) if starts is None else starts
    counts = [adc.shape[1]] * len(adc) if counts is None else counts
    bodies = {1: _scp_person()}
    if huffman:
        bodies[2] = struct.pack("<H", 19999)
    described = zip(leads, starts, counts, strict=True)
    bodies[3] = bytes([len(adc), (1 if beat is not None else 0) | 4 | (len(adc) & 31) << 3])
    for lead, start, count in described:
        bodies[3] += struct.pack("<IIB", start, start + count - 1, LEAD_CODES[lead])
    rest = adc.astype(np.int64)
    if beat is not None:
        length = beat.shape[1]
        fiducial = length // 2
        places = [struct.pack("<HIII", 0, at + 1, at + fiducial, at + length) for at in beats_at]
        bodies[4] = struct.pack("<HHH", length * 1000 // RATE_HZ, fiducial, len(places))
        bodies[4] += b"".join(places)
        bodies[5] = _scp_signal(beat.astype(np.int64), avm_nv, 0, huffman, False)
        for at in beats_at:
            rest[:, at : at + length] -= beat
    bodies[6] = _scp_signal(rest, avm_nv, difference, huffman, bimodal)
    return _scp_file(bodies)


def mend_scp(data: bytes) -> bytes:
    """Recompute the checksums of all sections that the file lists."""
    mended = bytearray(data)
    end = min(6 + struct.unpack_from("<I", data, 10)[0], len(data)) if len(data) >= 32 else 0
    for at in range(22, end - 9, 10):
        _, length, place = struct.unpack_from("<HII", data, at)
        if 16 <= length and 1 <= place and place - 1 + length <= len(mended):
            body = mended[place + 1 : place - 1 + length]
            struct.pack_into("<H", mended, place - 1, binascii.crc_hqx(bytes(body), 0xFFFF))
    if len(mended) >= 6:
        struct.pack_into("<I", mended, 2, len(mended))
        struct.pack_into("<H", mended, 0, binascii.crc_hqx(bytes(mended[2:]), 0xFFFF))
    return bytes(mended)


def _scp_file(bodies: Mapping[int, bytes]) -> bytes:
    sections = {**dict.fromkeys(range(12), b""), **bodies}
    place, pointers, joined = 6 + 16 + 120, b"", b""
    for number in range(1, 12):
        body = sections[number] + b"\0" * (len(sections[number]) % 2)
        length = 16 + len(body) if body else 0
        pointers += struct.pack("<HII", number, length, place + 1 if body else 0)
        joined += (
            b"\0\0" + struct.pack("<HIBB6s", number, length, 20, 20, b"") + body if body else b""
        )
        place += length
    pointers = struct.pack("<HII", 0, 136, 7) + pointers
    first = b"\0\0" + struct.pack("<HIBB6s", 0, 136, 20, 20, b"SCPECG") + pointers
    return mend_scp(b"\0" * 6 + first + joined)


def _scp_person() -> bytes:
    entries = ((0, b"Yamada\0"), (2, b"P-4711\0"), (8, b"\2"), (4, struct.pack("<HB", 64, 1)),
               (25, struct.pack("<HBB", 2024, 3, 5)), (26, bytes([9, 8, 7])))  # fmt: skip
    tags = [struct.pack("<BH", code, len(value)) + value for code, value in entries]
    return b"".join(tags) + b"\xff\0\0"


def _scp_signal(
    values: npt.NDArray[np.int64], avm_nv: int, difference: int, huffman: bool, bimodal: bool
) -> bytes:
    head = struct.pack("<HHBB", avm_nv, 1_000_000 // RATE_HZ, difference, bimodal)
    coded = []
    for row in values:
        kept = row.copy()
        kept[difference:] = np.diff(row, difference) if difference else row
        coded.append(_huffman(kept) if huffman else kept.astype("<i2").tobytes())
    return head + b"".join(struct.pack("<H", len(one)) for one in coded) + b"".join(coded)


def _huffman(values: npt.NDArray[np.int64]) -> bytes:
    """The default table of EN 1064: short codes to ±8, then 8 or 16 bits as they are."""
    bits = []
    for value in map(int, values):
        if value == 0:
            bits.append("0")
        elif abs(value) <= 8:
            bits.append("1" * abs(value) + "0" + ("1" if value < 0 else "0"))
        elif -128 <= value <= 127:
            bits.append("1111111110" + f"{value & 0xFF:08b}")
        else:
            bits.append("1111111111" + f"{value & 0xFFFF:016b}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""


# --- EDF ---


def edf_signal(
    label: str,
    values: npt.NDArray[Any],
    *,
    per_record: int = RATE_HZ,
    unit: str = "uV",
    physical: tuple[float, float] = (-163840, 163835),
    digital: tuple[int, int] = (-32768, 32767),
) -> dict[str, Any]:
    return {
        "label": label, "unit": unit, "physical": physical, "digital": digital,
        "values": np.asarray(values).astype("<i2").reshape(-1, per_record),
    }  # fmt: skip


def edf_bytes(
    signals: Sequence[Mapping[str, Any]], *, plus: bool = True, record_s: str = "1"
) -> bytes:
    n_records = len(signals[0]["values"])
    person = "P-4711 F 02-JAN-1960 Yamada"
    texts = [
        ("0", 8), (person, 80), ("Startdate 05-MAR-2024 X X CART-1", 80), ("05.03.24", 8),
        ("09.08.07", 8), (256 * (1 + len(signals)), 8), ("EDF+C" if plus else "", 44),
        (n_records, 8), (record_s, 8), (len(signals), 4),
    ]  # fmt: skip
    for width, field in (
        (16, lambda s: s["label"]), (80, lambda s: "AgAgCl"), (8, lambda s: s["unit"]),
        (8, lambda s: f"{s['physical'][0]:g}"), (8, lambda s: f"{s['physical'][1]:g}"),
        (8, lambda s: s["digital"][0]), (8, lambda s: s["digital"][1]),
        (80, lambda s: "HP:0.05Hz LP:150Hz"), (8, lambda s: s["values"].shape[1]),
        (32, lambda s: ""),
    ):  # fmt: skip
        texts += [(field(signal), width) for signal in signals]
    header = "".join(str(text)[:width].ljust(width) for text, width in texts).encode("latin-1")
    rows = [signal["values"][i].tobytes() for i in range(n_records) for signal in signals]
    return header + b"".join(rows)


def edf_annotations(texts: Sequence[str], size: int = 30) -> dict[str, Any]:
    rows = [f"+{i}\x14\x14\0+{i}.5\x14{text}\x14\0".encode() for i, text in enumerate(texts)]
    joined = b"".join(row.ljust(2 * size, b"\0") for row in rows)
    values = np.frombuffer(joined, "<i2")
    return edf_signal("EDF Annotations", values, per_record=size, unit="")


# --- all of them ---


class Recordings(dict[str, Path]):
    """The file of each format by its name in FORMATS."""

    def __missing__(self, name: str) -> Path:
        raise AssertionError(f"{name} is in FORMATS but not in write_all, in {__file__}")


def write_all(folder: Path, adc: Adc | None = None) -> Recordings:
    """The same ECG in every format, with a person's data; the median beat first where possible.

    The leads are in reverse where a format allows it, so a reader that goes by place is caught.
    """
    adc = twelve_leads() if adc is None else adc
    leads, turned = LEADS[::-1], adc[::-1]
    beat = turned[:, 100:700]
    eight = [leads.index(lead) for lead in MUSE_LEADS[::-1]]
    median = dicom_group(beat, leads=leads, label="MEDIAN BEAT", originality="DERIVED")
    aecg = aecg_text({"REPRESENTATIVE_BEAT": beat, "RHYTHM": turned}, leads=leads)
    muse = muse_text(
        muse_waveform("Median", beat[eight], MUSE_LEADS[::-1]),
        muse_waveform("Rhythm", turned[eight], MUSE_LEADS[::-1]),
    )
    signals = [edf_signal(f"ECG {lead}", row) for lead, row in zip(leads, turned, strict=True)]
    notes = edf_annotations(["Yamada coughs"] * (adc.shape[1] // RATE_HZ))
    contents = {
        "HL7 aECG": aecg.encode(),
        "GE MUSE XML": muse.encode(),
        "Philips XML": philips_text(adc).encode("utf-16"),
        "SCP-ECG": scp_bytes(turned, leads=leads, difference=2, huffman=True),
        "EDF": edf_bytes([*signals, notes]),
        "MFER": mfer_files.mfer_bytes(turned, leads=leads, person=True),
    }
    path = Recordings({name: folder / f"recording{i}" for i, name in enumerate(contents)})
    for name, content in contents.items():
        path[name].write_bytes(content)
    path["DICOM waveform"] = folder / "recording-dicom"
    write_dicom(path["DICOM waveform"], [median, dicom_group(turned, leads=leads)])
    return path


Writer = Callable[[Path], Path]
