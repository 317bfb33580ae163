"""Verifying signals: each damage named, no flipped bit silent, nothing touched."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from signal_stores import LEADS, SAMPLES, build, bytes_of, results, writer_for
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.cache.records_table import read_about, read_records
from ecgpipe.cache.signals import format as fmt
from ecgpipe.cache.signals.reader import SignalStore
from ecgpipe.cache.signals.verify import VerifiedSignals, verify_signals
from ecgpipe.cache.signals.writer import write_shard
from ecgpipe.config.data import DataConfig, TableSource
from ecgpipe.errors import StoreError
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.read_ecg.prepare.preparation import prepare
from ecgpipe.stopping import Stop
from ecgpipe.workspace import Workspace

CHUNK = 2 * len(LEADS) * SAMPLES + fmt.CRC_BYTES


def look(folder: Path) -> VerifiedSignals:
    return verify_signals(folder, lambda n: None)


def flip(path: Path, byte: int) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)


def test_a_good_store_verifies_and_is_left_alone(tmp_path: Path) -> None:
    build(tmp_path, 1100, rejected=(3, 1050))
    before = bytes_of(tmp_path)
    assert look(tmp_path) == VerifiedSignals(shards=2, records=1098)
    assert bytes_of(tmp_path) == before


def test_a_damaged_record_is_named_with_shard_slot_and_id(tmp_path: Path) -> None:
    build(tmp_path, 1100, rejected=(3,))
    flip(fmt.shard_path(tmp_path, 1), 40 * CHUNK + 17)
    flip(fmt.shard_path(tmp_path, 0), 5 * CHUNK + 1)  # slot 3 takes no place, so this is slot 6
    found = look(tmp_path)
    assert found.problems == [
        "shard 0: slot 6, record r00006: its samples differ from what was written",
        "shard 1: slot 1064, record r01064: its samples differ from what was written",
    ]
    assert found.records == 1097


def unlink_shard(folder: Path) -> None:
    fmt.shard_path(folder, 0).unlink()


def truncate_shard(folder: Path) -> None:
    fmt.shard_path(folder, 0).write_bytes(fmt.shard_path(folder, 0).read_bytes()[:-1])


def spoil_index(folder: Path) -> None:
    flip(fmt.shard_path(folder, 0), -100)


def other_shard(folder: Path) -> None:
    """Whole and well, but not the one that was written: only the digest can tell."""
    writer = writer_for(folder.with_name("other"), 12)
    shifted = (
        dataclasses.replace(result, signal=result.signal + 1)
        for result in results(writer.planned(0))
        if result.signal is not None
    )
    write_shard(writer.shard_plan(0), shifted)
    fmt.shard_path(folder, 0).write_bytes(fmt.shard_path(folder.with_name("other"), 0).read_bytes())


def unlink_done(folder: Path) -> None:
    fmt.done_path(folder, 0).unlink()


def edit(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        change(value)
        (folder / name).write_text(json.dumps(value))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (unlink_shard, "shard 0: .* is missing"),
        (truncate_shard, "shard 0: .* bytes long, not"),
        (spoil_index, "shard 0: its index does not match its checksum, so none of its 12"),
        (other_shard, "shard 0: its content is not what was written"),
        (unlink_done, "shard 0: its done file is damaged .*missing"),
        (edit("done/0.json", lambda d: d["records"].pop()), "done file is damaged .* its checksum"),
        (
            edit("manifest.json", lambda m: m.update(stored=11)),
            "manifest is damaged: .* its checksum",
        ),
        (edit("manifest.json", lambda m: m.pop("shards")), "manifest is damaged"),
        (edit("zarr.json", lambda g: g["attributes"].update(a=1)), "zarr.json is damaged"),
        (
            edit("signal/zarr.json", lambda a: a["attributes"].update(leads=["I", "II", "V1"])),
            "zarr.json is damaged",
        ),
        (edit("signal/zarr.json", lambda a: a.pop("shape")), "own description is damaged"),
    ],
)
def test_every_kind_of_damage_is_said(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    folder = tmp_path / "s.zarr"
    build(folder, 12)
    spoil(folder)
    found = look(folder)
    assert len(found.problems) == 1
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(found.problems[0])


def test_a_store_under_construction_is_called_unfinished_and_what_is_done_is_checked(
    tmp_path: Path,
) -> None:
    writer = writer_for(tmp_path, 2500)
    write_shard(writer.shard_plan(1), results(writer.planned(1)))
    assert look(tmp_path) == VerifiedSignals(shards=1, records=1024, unfinished=True)
    flip(fmt.shard_path(tmp_path, 1), 9)
    assert look(tmp_path).problems == [
        "shard 1: slot 1024, record r01024: its samples differ from what was written"
    ]


class Prepared:
    """A small prepared work_dir, and everything that is read from it."""

    def __init__(self, folder: Path) -> None:
        for number in range(5):
            write_wfdb(folder / "ecg", f"r{number}", ecg_like(500, seed=number), rate="100")
        rows = [f"id{n:02},p{n // 2},r{n % 6},洞調律,{40 + n}" for n in range(24)]
        (folder / "t.csv").write_text("\n".join(["record_id,patient_id,path,findings,age", *rows]))
        config = DataConfig(
            sources=(TableSource(kind="table", table=folder / "t.csv", root=folder / "ecg"),),
            taxonomy="findings98",
            rate_hz=100,
            duration_s=5.0,
            max_rejected_fraction=0.5,
            workers=1,
        )
        workspace = Workspace(folder / "work", "x")
        prepared = prepare(config, load_taxonomy("findings98"), workspace, Stop())
        self.store = workspace.signals(prepared.signals_digest)
        self.table = workspace.records(prepared.digest)
        self.files = [p for p in self.store.rglob("*") if p.is_file()]
        self.files += [self.table, self.table.with_suffix(".json")]

    def values(self) -> tuple[Any, ...]:
        """Everything that a run takes from these files."""
        table = read_records(self.table)
        store = SignalStore.open(self.store)
        return (
            store.read(table.slots).tobytes(),
            {k: v for k, v in store.manifest.items() if k != "sum"},
            (store.leads, store.samples, store.n_slots),
            (table, read_about(self.table)),
        )

    def complaints(self) -> list[str]:
        """What verify would say."""
        read_records(self.table)
        return look(self.store).problems


def silent_flips(folder: Path, n_flips: int, seed: int) -> tuple[int, int, list[str]]:
    """How many flips were found or changed nothing, and those that changed a value unnoticed.

    Half of them anywhere in all bytes, half in a file drawn first, so that small files get some.
    """
    prepared, random = Prepared(folder), np.random.default_rng(seed)
    before = prepared.values()
    assert prepared.complaints() == []
    sizes = np.array([path.stat().st_size for path in prepared.files])
    found, harmless, silent = 0, 0, []
    for number in range(n_flips):
        weights = sizes / sizes.sum() if number % 2 else None
        path = prepared.files[random.choice(len(sizes), p=weights)]
        content = path.read_bytes()
        position = int(random.integers(8 * len(content)))
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        try:
            complained = bool(prepared.complaints())
            if complained:
                found += 1
            elif prepared.values() == before:
                harmless += 1
            else:
                silent.append(f"{path.name}, bit {position}")
        except StoreError:
            found += 1
        path.write_bytes(content)
    assert prepared.values() == before
    return found, harmless, silent


def test_no_flipped_bit_is_silent(tmp_path: Path) -> None:
    found, harmless, silent = silent_flips(tmp_path, 150, seed=1)
    assert silent == []
    assert found > 100
    assert found + harmless == 150


@pytest.mark.slow
def test_a_thousand_flipped_bits_are_never_silent(tmp_path: Path) -> None:
    found, harmless, silent = silent_flips(tmp_path, 1000, seed=2)
    print(f"{found} found, {harmless} without effect, {len(silent)} silent")
    assert silent == []
