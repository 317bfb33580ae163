"""`ecgpipe prepare` and `verify` over a hospital of 1,000 ECGs, as people run them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_experiment import ecgpipe
from wfdb_files import ecg_like, write_wfdb

SHORT = {"rate_hz": 100, "duration_s": 5.0, "workers": 1}


def command(folder: Path, *arguments: str) -> tuple[int, str, str]:
    return ecgpipe(folder / "pipeline.yaml", *arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """1,000 rows over ten recordings, and one row whose recording is cut short."""
    folder = tmp_path_factory.mktemp("hospital")
    for number in range(10):
        write_wfdb(folder / "ecg", f"r{number}", ecg_like(500, seed=number), rate="100")
    bad = write_wfdb(folder / "ecg", "bad", ecg_like(500), rate="100").with_suffix(".dat")
    bad.write_bytes(bad.read_bytes()[:1000])
    rows = [f"id{n:04},p{n // 2},{'bad' if n == 617 else f'r{n % 10}'},洞調律" for n in range(1000)]
    (folder / "t.csv").write_text("\n".join(["record_id,patient_id,path,findings", *rows]))
    source = {"kind": "table", "table": "t.csv", "root": "ecg"}
    settings = {"name": "x", "data": {**SHORT, "sources": [source]}, "text": {"model": "none"}}
    (folder / "pipeline.yaml").write_text(json.dumps(settings))
    code, out, err = command(folder, "prepare", "--json")
    assert code == 0, err
    summary: dict[str, object] = json.loads(out.splitlines()[-1])["prepare"]
    return folder, summary


@pytest.fixture
def hospital(made: tuple[Path, dict[str, object]], tmp_path: Path) -> Iterator[Path]:
    """The same folder, since its paths are part of what it was made from; put right afterwards."""
    folder = made[0]
    shutil.copytree(folder / "work", tmp_path / "kept")
    yield folder
    shutil.rmtree(folder / "work", ignore_errors=True)
    shutil.copytree(tmp_path / "kept", folder / "work")


def test_one_bad_record_in_a_thousand_does_not_stop_prepare(
    made: tuple[Path, dict[str, object]],
) -> None:
    folder, summary = made
    assert (summary["prepared"], summary["rejected"]) == (999, 1)
    assert summary["rejected_by_reason"] == {"truncated": 1}
    (listed,) = (folder / "work" / "records").glob("*.rejected.csv")
    head, row = listed.read_text(encoding="utf-8-sig").splitlines()
    assert head == "record_id,place,reason,message"
    assert row.startswith("id0617,row 619 of t,truncated,bad.dat holds 41 of the 500 samples")


def test_verify_accepts_undamaged_data(hospital: Path) -> None:
    code, out, err = command(hospital, "verify", "--json")
    assert code == 0, err
    assert "999 signals in 1 shards are as they were written" in err
    assert json.loads(out)["verify"]["signals"] == 999


def test_verify_names_the_damage_and_its_fix_and_prepare_repairs_it(hospital: Path) -> None:
    (store,) = (hospital / "work" / "signals").glob("*.zarr")
    (table,) = (hospital / "work" / "records").glob("*.parquet")
    shard = store / "signal" / "c" / "0" / "0" / "0"
    good = shard.read_bytes()
    shard.write_bytes(good[:70_000] + bytes([good[70_000] ^ 8]) + good[70_001:])
    code, _, err = command(hospital, "verify")
    assert code == 1
    assert "shard 0: slot 5, record id0005: its samples differ from what was written" in err
    assert f"{store.name} and " in err
    assert f"{table.name}, and run `ecgpipe prepare`" in err
    shutil.rmtree(store)
    table.unlink()
    assert command(hospital, "prepare")[0] == 0
    assert shard.read_bytes() == good
    assert command(hospital, "verify")[0] == 0


def test_verify_reports_an_unfinished_or_missing_store(hospital: Path) -> None:
    (store,) = (hospital / "work" / "signals").glob("*.zarr")
    (store / "manifest.json").unlink()
    code, _, err = command(hospital, "verify")
    assert code == 0, err
    assert "is unfinished: 1 of 1 shards are done" in err
    shutil.rmtree(hospital / "work")
    code, _, err = command(hospital, "verify")
    assert code == 1
    assert "does not exist. Run `ecgpipe prepare`" in err


def test_verify_reports_a_damaged_records_table(hospital: Path) -> None:
    (table,) = (hospital / "work" / "records").glob("*.parquet")
    content = table.read_bytes()
    place = len(content) // 3
    table.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    code, _, err = command(hospital, "verify")
    assert code == 1
    assert f"{table.name} is damaged" in err
