"""The kill campaign of `ecgpipe prepare`: two workers, killed at random moments and restarted.

Owns the kills: all processes at once, as at a scheduler's limit or a machine failure, or one
worker, as when memory runs out. Moments are uniform over the duration of an undisturbed run. Each
start continues after the last kill until one finishes; then the store must equal that of the
undisturbed run byte for byte. Run it by hand or by `make crash-prepare`:

    python tests/helpers/crash/prepare_kills.py --kills 100
"""

import argparse
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

if not __package__:  # a script imports its own tree, whatever else is installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wfdb_files import ecg_like, write_wfdb

from crash import worker
from crash.campaign import table
from crash.crash_states import Findings
from ecgpipe.cache.records_table import read_records
from ecgpipe.cache.signals.verify import verify_signals

N_RECORDS = 1024 * 3 + 40
RECORDINGS = 16
PRESENT = 12
"""Existing recordings; the others are rejected, which must survive kills too."""

HANG_AFTER_S = 120.0

_SETTINGS = {
    "name": "kills",
    "text": {"model": "never loaded"},
    "data": {"rate_hz": 100, "duration_s": 5.0, "workers": 2, "max_rejected_fraction": 0.5},
}


class Preparation:
    """A hospital on disk, and `ecgpipe prepare` on it."""

    def __init__(self, folder: Path) -> None:
        """Write the recordings and their table below `folder`."""
        self.folder = folder
        self._source = folder / "ecg"
        for number in range(PRESENT):
            write_wfdb(self._source, f"r{number}", ecg_like(500, seed=number), rate="100")
        lines = ["record_id,patient_id,path,findings"]
        lines += [f"id{n:05},p{n // 2},r{n % RECORDINGS},洞調律" for n in range(N_RECORDS)]
        (folder / "records.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        source = {"kind": "table", "table": str(folder / "records.csv"), "root": str(self._source)}
        settings = _SETTINGS | {"data": _SETTINGS["data"] | {"sources": [source]}}
        self._config = folder / "pipeline.yaml"
        self._config.write_text(json.dumps(settings))  # JSON is YAML

    def start(self, work: Path) -> subprocess.Popen[str]:
        """Start the command as the leader of a process group."""
        command = [sys.executable, "-m", "ecgpipe", "prepare", "-c", str(self._config)]
        return subprocess.Popen(
            [*command, "--set", f"work_dir={work}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=worker.environment(),
            cwd=self.folder,
            start_new_session=True,
        )

    def run(self, work: Path) -> float:
        """One undisturbed run; returns its seconds."""
        started = time.monotonic()
        process = self.start(work)
        _, errors = process.communicate(timeout=HANG_AFTER_S)
        if process.returncode:
            raise SystemExit(f"prepare does not work at all: {errors}")
        return time.monotonic() - started


def contents(work: Path) -> dict[str, Any]:
    """What must be equal: every byte but for when and where the manifest and table were made,
    and the heartbeats, which say just that."""
    (store,) = (work / "signals").glob("*.zarr")
    found: dict[str, Any] = {
        str(path.relative_to(work)): path.read_bytes()
        for path in sorted(work.rglob("*"))
        if path.is_file()
        and path.suffix not in (".tmp", ".parquet")
        and path.relative_to(work).parts[0] != "status"
        and path.parent.name + path.suffix != "records.json"
    }
    manifest = json.loads(found.pop(str((store / "manifest.json").relative_to(work))))
    found["manifest"] = {k: v for k, v in manifest.items() if k not in ("provenance", "sum")}
    (records,) = (work / "records").glob("*.parquet")
    table = read_records(records)
    found["records"] = table.records
    found["about"] = {k: v for k, v in table.about.items() if k != "provenance"}
    return found


def workers_of(pid: int) -> list[int]:
    """The living worker processes of a prepare."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [
            int(child)
            for child in children
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
    except OSError:  # gone meanwhile
        return []


def kill_prepare(n_kills: int, seed: int, folder: Path) -> Findings:
    """Kill `ecgpipe prepare` repeatedly, over as many stores as that takes.

    Args:
        n_kills: the number of kills.
        seed: of the moments and victims; a busy machine still makes runs differ.
        folder: empty; recordings and stores are written there.
    """
    findings, started, chance = Findings("kill -9"), time.monotonic(), random.Random(seed)
    preparation = Preparation(folder)
    seconds = preparation.run(folder / "undisturbed")
    wanted = contents(folder / "undisturbed")
    counts = {"stores": 0, "groups": 0, "workers": 0, "inside": 0}
    work = folder / "work"
    while True:
        process = preparation.start(work)
        finished = _one_life(process, work, findings, chance, seconds, n_kills, counts)
        if findings.hangs or findings.unreadable:
            break
        if finished:
            counts["stores"] += 1
            findings.wrong += contents(work) != wanted
            shutil.rmtree(work)
            if findings.points >= n_kills or findings.wrong:
                break
    findings.note(
        f"an undisturbed run takes {seconds:.1f} s; {counts['stores']} stores of {N_RECORDS:,}"
        f" records; {counts['groups']} kills of all processes, {counts['workers']} of one worker;"
        f" {counts['inside']} while a shard or file was written"
    )
    findings.seconds = time.monotonic() - started
    return findings


def _one_life(
    process: subprocess.Popen[str],
    work: Path,
    findings: Findings,
    chance: random.Random,
    seconds: float,
    n_kills: int,
    counts: dict[str, int],
) -> bool:
    """One start, killed or not; returns whether it finished."""
    victim = "groups" if chance.random() < 0.5 else "workers"
    alive: list[int] = []
    killed = False
    if findings.points < n_kills:
        try:
            process.wait(timeout=chance.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            alive = workers_of(process.pid)
            if victim == "groups":
                os.killpg(process.pid, signal.SIGKILL)
                killed = True
            elif alive:
                os.kill(chance.choice(alive), signal.SIGKILL)
                killed = True
    try:
        _, errors = process.communicate(timeout=HANG_AFTER_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        findings.hangs += 1
        findings.note(f"no end after a kill of {victim}")
        return False
    if killed:
        findings.points += 1
        counts[victim] += 1
        counts["inside"] += _leftovers(work) > 0
    deadline = time.monotonic() + 20
    while any(map(_is_alive, alive)):
        if time.monotonic() > deadline:
            findings.hangs += 1
            findings.note("a worker outlived its parent")
            return False
        time.sleep(0.01)
    for store in (work / "signals").glob("*.zarr"):
        problems = verify_signals(store, lambda n: None).problems if _is_begun(store) else []
        if problems:
            findings.unreadable += 1
            findings.note(problems[0])
    if process.returncode not in (0, -signal.SIGKILL) and "worker of prepare was killed" not in (
        errors
    ):
        findings.unreadable += 1
        findings.note(f"exit {process.returncode}: {errors[-300:]}")
    return process.returncode == 0


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _is_begun(store: Path) -> bool:
    """Whether the store's description is written; before that there is nothing to check."""
    return (store / "zarr.json").exists()


def _leftovers(work: Path) -> int:
    """Count the temporary files of killed writers, and remove them."""
    found = [path for path in work.rglob(".*.tmp") if path.is_file()]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def main() -> int:
    """Run the campaign; 1 where anything was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="number of kills")
    parser.add_argument("--seed", type=int, default=None, help="default: random")
    options = parser.parse_args()
    seed = secrets.randbits(32) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="crash-prepare-"))
    findings = kill_prepare(options.kills, seed, folder)
    print(f"Kill campaign of prepare, seed {seed}\n{table([findings])}")
    if findings.is_clean:
        shutil.rmtree(folder)
        return 0
    print(f"Faults were found. The files are kept in {folder}.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
