"""Files that are whole or absent, progress that is right, stops that are noticed."""

import io
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import ecgpipe
from ecgpipe import files
from ecgpipe.errors import StoppedEarly, StoreError
from ecgpipe.files import (
    canonical_json,
    digest_of,
    only_one,
    open_atomic,
    read_json,
    read_json_object,
    write_atomic,
    write_json_atomic,
)
from ecgpipe.processes import is_first, rank
from ecgpipe.progress import duration_text, progress, progress_line, say
from ecgpipe.provenance import git_commit, provenance
from ecgpipe.stopping import stop_on_signals


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_an_interrupted_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def interrupted() -> None:
        with open_atomic(path) as file:
            file.write(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("limit_bytes", [0, 1, 1000, 99_999])
def test_a_disk_that_fills_up_is_a_clean_error(tmp_path: Path, limit_bytes: int) -> None:
    # A file-size limit makes the kernel refuse the write in the middle, as a full disk does.
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from ecgpipe.errors import StoppedEarly, StoreError\n"
        "from ecgpipe.files import write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes}, {limit_bytes}))\n"
        "try:\n"
        f"    write_atomic(Path({str(tmp_path / 'f')!r}), b'x' * 100_000)\n"
        "except StoreError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Cannot write" in done.stdout
    assert "choose another work_dir" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_a_folder_is_a_clean_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Check the permissions"):
        write_atomic(tmp_path / "file" / "below", b"x")


def test_json_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    write_json_atomic(tmp_path / "a.json", {"名": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"名": [1, 2.5, None]}
    (tmp_path / "b.json").write_text("{")
    for name in ("b.json", "c.json"):
        with pytest.raises(StoreError):
            read_json(tmp_path / name)


def test_a_lock_is_for_one_and_is_free_again_afterwards(tmp_path: Path) -> None:
    with only_one(tmp_path / "sub" / "lock", "works here"):
        with pytest.raises(StoreError, match="Another process works here"):
            with only_one(tmp_path / "sub" / "lock", "works here"):
                pass
    with only_one(tmp_path / "sub" / "lock", "works here"):
        pass


def test_equal_values_have_one_digest() -> None:
    assert canonical_json({"b": 1, "a": "所見"}) == '{"a":"所見","b":1}'
    assert digest_of({"a": (1, 2)}) == digest_of({"a": [1, 2]})
    assert digest_of({"a": 1}) != digest_of({"a": "1"})


def test_progress_says_rate_and_time_left() -> None:
    line = progress_line("train", 50, 200, "steps", 10.0, "loss 2.3")
    assert line == "train: 50 of 200 steps (25 %) · 5.0 steps/s · 0:30 left · loss 2.3"
    assert "2.0 s each" in progress_line("train", 5, 20, "epochs", 10.0)
    assert progress_line("train", 0, 0, "steps", 0.0) == "train: 0 of 0 steps"
    assert (duration_text(59.6), duration_text(3661)) == ("1:00", "1:01:01")


def test_a_batch_log_gets_a_line_every_half_minute_and_one_at_the_end() -> None:
    stream, now = io.StringIO(), iter(range(0, 100_000, 5))
    with progress("x", 10, "things", stream=stream, clock=lambda: next(now)) as tick:
        for _ in range(10):
            tick()
    lines = stream.getvalue().splitlines()
    assert 2 <= len(lines) <= 5
    assert lines[-1].startswith("x: 10 of 10 things (100 %)")


def test_only_the_first_process_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setenv("RANK", "1")
    assert (rank(), is_first()) == (1, False)
    with progress("x", 10, "things", stream=stream) as tick:
        tick(10)
    assert stream.getvalue() == ""


STOPPING = [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU, signal.SIGHUP]


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_asks_for_a_stop_and_the_old_handler_comes_back(number: signal.Signals) -> None:
    outside = signal.signal(number, signal.SIG_DFL)  # the tests may run under nohup
    try:
        with stop_on_signals() as stop:
            assert not stop
            os.kill(os.getpid(), number)
            assert stop
            assert stop.cause == number.name
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, outside)


def test_a_closed_terminal_does_not_stop_what_was_started_to_outlive_it() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop
    finally:
        signal.signal(signal.SIGHUP, before)


class ClosedTerminal(io.StringIO):
    """As a terminal whose window was closed."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


def test_work_goes_on_when_the_terminal_that_shows_it_is_closed() -> None:
    stream = ClosedTerminal()
    done = []
    with progress("train", 3, "steps", stream=stream) as tick:
        for number in range(3):
            tick(1, "a note")
            done.append(number)
    assert done == [0, 1, 2]
    say("a line", stream)


def test_an_interrupt_ends_at_once_what_has_nothing_to_save() -> None:
    def load() -> None:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with stop_on_signals() as stop, stop.at_once("the model was loading"):
            time.sleep(30)

    began = time.monotonic()
    with pytest.raises(StoppedEarly, match="Stopped by SIGINT while the model was loading"):
        load()
    assert time.monotonic() - began < 2
    with stop_on_signals() as stop:
        with stop.at_once("loading"):
            pass
        os.kill(os.getpid(), signal.SIGINT)  # as ever: a flag
        assert stop.cause == "SIGINT"
        with pytest.raises(StoppedEarly, match="Stopped by SIGINT while loading"):
            with stop.at_once("loading"):
                pytest.fail("it takes a minute and cannot be saved, so it must not begin")


def test_a_second_interrupt_is_obeyed_at_once() -> None:
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_provenance_names_versions_and_machine() -> None:
    made = provenance()
    assert made["ecgpipe"] == ecgpipe.__version__
    assert made["packages"]["torch"].startswith("2.")
    assert made["created"].endswith("+00:00")
    commit = git_commit()
    assert commit is None or len(commit.removesuffix("+changes")) == 40


def test_a_file_gets_its_name_only_when_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        done.append(f"sync {kind}, there: {(tmp_path / 'file').exists()}")
        real_sync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    write_atomic(tmp_path / "file", b"content")
    assert done == ["sync file, there: False", "rename", "sync folder, there: True"]


def test_new_folders_are_synced_into_their_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "fsync_folder", synced.append)
    files.make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]
    files.make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "null"])
def test_a_damaged_object_says_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(StoreError, match=r"x\.json .* Do this\."):
        read_json_object(tmp_path / "x.json", ("a", "b"), "Do this.")
