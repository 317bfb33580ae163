"""The text-vector cache survives kills and power cuts, and the campaign would tell if it did not.

tests/helpers/crash holds the campaign; `make crash-embed` prints its table.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from crash import campaign, crash_states, worker
from crash.crash_states import Operation
from crash.reader import Reader
from paths import HELPERS

N_BATCHES = 300
BAD_BATCHES = 20

needs_log = pytest.mark.skipif(
    crash_states.why_not() is not None, reason=str(crash_states.why_not())
)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> list[Operation]:
    return crash_states.record(tmp_path_factory.mktemp("recorded"), N_BATCHES)


def run_campaign(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The campaign as people run it; it forks, which pytest with its threads should not."""
    command = [sys.executable, campaign.__file__, *arguments]
    environment = worker.environment(TMPDIR=str(folder))
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@needs_fork
def test_a_hundred_kills_of_three_workers_lose_nothing(tmp_path: Path) -> None:
    done = run_campaign(tmp_path, "--kills", "100", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kill -9            100" in done.stdout


@needs_fork
@pytest.mark.slow
def test_five_hundred_kills_of_three_workers_lose_nothing(tmp_path: Path) -> None:
    done = run_campaign(tmp_path, "--kills", "500")
    assert done.returncode == 0, done.stdout + done.stderr


@needs_log
def test_every_point_at_which_a_writer_can_be_killed_is_safe(
    operations: list[Operation], tmp_path: Path
) -> None:
    findings = crash_states.check_prefixes(operations, tmp_path / "state")
    assert findings.is_clean, findings
    assert findings.points == len(operations) + 1
    assert findings.points > 7 * N_BATCHES


@needs_log
def test_power_cuts_lose_nothing_that_was_reported(
    operations: list[Operation], tmp_path: Path
) -> None:
    findings = crash_states.check_power_loss(
        operations, 300, seed=1, folder=tmp_path / "state", strict_folders=True
    )
    assert findings.is_clean, findings


@needs_log
def test_the_writer_syncs_each_part_and_then_its_name_before_it_reports(
    operations: list[Operation],
) -> None:
    kinds = [operation.kind.name for operation in operations[-7:] if operation.kind.name != "WRITE"]
    assert kinds == ["SYNC", "RENAME", "SYNC", "SYNC"], operations[-7:]


@needs_log
@pytest.mark.parametrize("way", ["rename-first", "report-early"])
def test_a_writer_that_a_kill_would_harm_is_found(way: str, tmp_path: Path) -> None:
    bad = crash_states.record(tmp_path / "recorded", BAD_BATCHES, way)
    findings = crash_states.check_prefixes(bad, tmp_path / "state")
    if way == "rename-first":
        assert findings.unreadable >= BAD_BATCHES
    else:
        assert findings.lost >= BAD_BATCHES * crash_states.ROWS_PER_BATCH


@needs_log
@pytest.mark.parametrize("way", ["rename-first", "no-sync", "no-folder-sync"])
def test_a_writer_that_a_power_cut_would_harm_is_found(way: str, tmp_path: Path) -> None:
    bad = crash_states.record(tmp_path / "recorded", BAD_BATCHES, way)
    findings = crash_states.check_power_loss(bad, 30, seed=1, folder=tmp_path / "state")
    assert findings.unreadable or findings.lost, findings


@needs_fork
def test_the_kills_find_a_worker_that_reports_too_early(tmp_path: Path) -> None:
    done = run_campaign(tmp_path, "--kills", "10", "--seed", "1", "--way", "report-early")
    assert done.returncode == 1, done.stdout + done.stderr
    _, kills, lost, *others = done.stdout.splitlines()[2].split()[1:]
    assert (kills, set(others[:-1])) == ("10", {"0"})
    assert int(lost) > 0
    assert list(tmp_path.glob("crash-embed-*")), "what is left of a fault is kept"


@needs_fork
def test_a_reader_that_never_answers_is_told(tmp_path: Path) -> None:
    folder = tmp_path / worker.FINGERPRINT.short
    folder.mkdir()
    os.mkfifo(folder / "part-1.h5")  # opening it waits for a writer for ever
    with Reader(limit_s=2.0) as reader:
        assert reader.look(tmp_path, worker.text_keys(1)).hangs
        (folder / "part-1.h5").unlink()
        assert reader.look(tmp_path, worker.text_keys(1)).lost == 1


def test_a_worker_starts_without_a_model_library(tmp_path: Path) -> None:
    program = (
        "from crash import worker; import sys;"
        "print(sorted({'torch', 'transformers', 'pyarrow'} & set(sys.modules)))"
    )
    environment = worker.environment()
    environment["PYTHONPATH"] += os.pathsep + str(HELPERS)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
