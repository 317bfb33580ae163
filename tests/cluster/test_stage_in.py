"""Copies on a node's own disk: one copier, whole or absent, never another content."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_experiment import ENVIRONMENT, Experiment

from ecgpipe import local_copy
from ecgpipe.errors import StoreError
from ecgpipe.local_copy import (
    Original,
    copies_folder,
    find_local_copy,
    make_local_copy,
    remove_local_copies,
)

_COPY = """
import sys
from pathlib import Path
from ecgpipe import local_copy
local_copy._BLOCK_BYTES = 1 << 16
files = {path.name: path for path in sorted(Path(sys.argv[1]).iterdir())}
original = local_copy.Original("copy", files)
print(local_copy.make_local_copy(original, Path(sys.argv[2]))[1])
"""


@pytest.fixture
def original(tmp_path: Path) -> Original:
    folder = tmp_path / "original"
    folder.mkdir()
    for number in range(3):
        (folder / f"f{number}").write_bytes(os.urandom(3_000_000))
    return Original("copy", {path.name: path for path in sorted(folder.iterdir())})


def holds(folder: Path, original: Original) -> bool:
    return all((folder / n).read_bytes() == p.read_bytes() for n, p in original.files.items())


def start(original: Original, to: Path) -> subprocess.Popen[str]:
    source = next(iter(original.files.values())).parent
    command = [sys.executable, "-c", _COPY, str(source), str(to)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


def test_of_several_processes_one_copies_and_the_others_wait(
    original: Original, tmp_path: Path
) -> None:
    processes = [start(original, tmp_path / "disk") for _ in range(5)]
    said = sorted(process.communicate(timeout=120)[0].strip() for process in processes)
    assert said == ["False"] * 4 + ["True"]
    assert holds(copies_folder(tmp_path / "disk") / "copy", original)


def test_after_a_copier_that_was_killed_the_next_one_copies(
    original: Original, tmp_path: Path
) -> None:
    with next(iter(original.files.values())).open("ab") as file:
        file.truncate(1 << 30)  # a long hole, so that there is time to kill
    root = copies_folder(tmp_path / "disk")
    process = start(original, tmp_path / "disk")
    end = time.monotonic() + 60
    while not list(root.glob(".copy.*.tmp/f0")):
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(root.glob(".copy.*.tmp"))
    with next(iter(original.files.values())).open("ab") as file:
        file.truncate(1_000_000)
    assert make_local_copy(original, tmp_path / "disk")[1]
    assert not list(root.glob(".copy.*.tmp"))
    assert holds(root / "copy", original)


def test_a_damaged_copy_is_not_used_but_made_again(
    original: Original,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ECGPIPE_SCRATCH", str(tmp_path))
    folder = make_local_copy(original, tmp_path)[0]
    assert find_local_copy("copy", "signals") == folder
    for damage in ("shorter", "changed", "missing", "no manifest"):
        path = folder / ("ecgpipe-copy.json" if damage == "no manifest" else "f1")
        if damage == "shorter":
            path.write_bytes(path.read_bytes()[:-1])
        elif damage == "changed":
            path.write_bytes(bytes(path.stat().st_size))
        else:
            path.unlink()
        capfd.readouterr()
        assert find_local_copy("copy", "signals") is None
        assert "signals are not read from" in capfd.readouterr().err
        assert make_local_copy(original, tmp_path)[1]
        assert holds(folder, original)
    assert not make_local_copy(original, tmp_path)[1]


def test_an_original_that_differs_from_its_digest_is_not_copied(
    original: Original, tmp_path: Path
) -> None:
    altered = Original("copy", original.files, {"f2": "0" * 32})
    with pytest.raises(StoreError, match=r"f2 differs from what was written"):
        make_local_copy(altered, tmp_path)
    assert [p.name for p in copies_folder(tmp_path).iterdir()] == [".copy.lock"]


def test_a_disk_that_is_too_small_is_refused_before_anything_is_copied(
    original: Original, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = local_copy.shutil.disk_usage(tmp_path)._replace(free=8_000_000)
    monkeypatch.setattr(local_copy.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StoreError, match=r"too small for the copy.*read from work_dir"):
        make_local_copy(original, tmp_path)


def test_a_disk_that_fills_up_keeps_no_partial_copy(
    original: Original, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = local_copy._copy_file

    def full(source: Path, target: Path) -> str:
        if target.name == "f1":
            target.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(source, target)

    monkeypatch.setattr(local_copy, "_copy_file", full)
    with pytest.raises(StoreError, match="No space left on device"):
        make_local_copy(original, tmp_path)
    assert [p.name for p in copies_folder(tmp_path).iterdir()] == [".copy.lock"]


def test_a_folder_of_another_user_is_neither_read_nor_written(
    original: Original, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECGPIPE_SCRATCH", str(tmp_path))
    folder = make_local_copy(original, tmp_path)[0]
    root = copies_folder(tmp_path)
    assert root.stat().st_mode & 0o777 == 0o700
    root.rename(tmp_path / "elsewhere")
    root.symlink_to(tmp_path / "elsewhere")
    assert find_local_copy("copy", "signals") is None
    with pytest.raises(StoreError, match="not a folder that belongs to this user"):
        make_local_copy(original, tmp_path)
    with pytest.raises(StoreError, match="not a folder that belongs to this user"):
        remove_local_copies(tmp_path)
    assert holds(tmp_path / "elsewhere" / folder.name, original)
    if os.geteuid() == 0:
        root.unlink()
        (tmp_path / "elsewhere").rename(root)
        os.chown(root, 12345, 12345)
        assert find_local_copy("copy", "signals") is None


def test_the_command_copies_both_and_training_and_embedding_read_them(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "node disk"
    code, out, err = experiment.run("stage-in", "--to", str(disk))
    assert (code, out) == (0, f"export ECGPIPE_SCRATCH='{disk}'\n"), err
    [part] = (experiment.folder / "work" / "embeddings").glob("*/part-*.h5")
    before = part.read_bytes()
    part.unlink()
    monkeypatch.setenv("ECGPIPE_SCRATCH", str(disk))
    code, out, err = experiment.run("run", "--json")
    assert code == 0, err
    assert "the language model's files are read from" in err
    # The same fingerprint, so the same vectors in the same place, and the model is still the model.
    summary = json.loads(out.splitlines()[-1])
    assert [summary[s]["did_work"] for s in ("prepare", "embed", "train", "eval")] == [
        False, True, False, False,
    ]  # fmt: skip
    [again] = (experiment.folder / "work" / "embeddings").glob("*/part-*.h5")
    assert again.parent == part.parent
    assert len(again.read_bytes()) == len(before)
    # Signals are read from the copy: the originals' shards are not even there.
    for shard in (experiment.folder / "work" / "signals").glob("*/signal/c/*/0/0"):
        shard.rename(shard.with_name("moved"))
    code, _, err = experiment.run("eval", "--set", "eval.seed=5")
    assert code == 0, err
    assert "signals are read from" in err
    code, _, err = experiment.run("stage-in", "--clean", "--to", str(disk))
    assert code == 0, err
    assert list(disk.iterdir()) == []


def test_damaged_signals_are_not_copied(experiment: Experiment, tmp_path: Path) -> None:
    [shard] = (experiment.folder / "work" / "signals").glob("*/signal/c/*/0/0")
    content = bytearray(shard.read_bytes())
    content[1000] ^= 1
    shard.write_bytes(content)
    code, out, err = experiment.run("stage-in", "--signals", "--to", str(tmp_path / "disk"))
    assert (code, out) == (1, "")
    assert "differs from what was written" in err


def test_without_a_disk_the_error_says_how_to_name_one(experiment: Experiment) -> None:
    code, _, err = experiment.run("stage-in")
    assert code == 2
    assert "ECGPIPE_SCRATCH" in err
