"""The preprocessing that a model demands is written down, read back and kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecgpipe.apply_model.contract import VERSION, Contract, read_contract
from ecgpipe.config.data import DataConfig, PtbxlSource
from ecgpipe.errors import CheckpointError
from ecgpipe.read_ecg.signal.record import EcgRecord
from ecgpipe.read_ecg.signal.window import to_window

SOURCE = PtbxlSource(kind="ptbxl", root=Path("data"))
DATA = DataConfig(sources=(SOURCE,), rate_hz=100, duration_s=8.0, crop="centre", min_leads=2)


def test_a_contract_survives_its_file() -> None:
    contract = Contract.of(DATA)
    assert read_contract(contract.as_dict(), "config.json") == contract
    assert contract.samples == 800


def test_a_recording_becomes_the_same_window_by_the_contract_as_by_the_settings() -> None:
    signal_mv = np.random.default_rng(0).normal(size=(12, 6000)).astype(np.float32)
    record = EcgRecord(signal_mv, 500.0)
    by_settings, notes = to_window(record, DATA)
    by_contract, same_notes = to_window(record, Contract.of(DATA))
    np.testing.assert_array_equal(by_contract, by_settings)
    assert same_notes == notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": VERSION + 1}, f"demands preprocessing of version {VERSION + 1}"),
        ({"leads": ("II", "V5")}, "demands the leads II, V5"),
        ({"rate_hz": 0}, "rate_hz"),
        ({"crop": "last"}, "crop"),
    ],
)
def test_a_contract_that_cannot_be_kept_is_refused_by_name(
    change: dict[str, object], message: str
) -> None:
    stated = Contract.of(replace(DATA)).as_dict() | change
    with pytest.raises(CheckpointError, match=message):
        read_contract(stated, "config.json")


def test_a_contract_without_a_field_is_refused() -> None:
    stated = Contract.of(DATA).as_dict()
    del stated["leads"], stated["version"]
    with pytest.raises(CheckpointError, match="lacks leads, version"):
        read_contract(stated, "config.json")
