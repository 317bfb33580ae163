"""The text vectors when the disk fails: a clean message, nothing half written, and a way on."""

import contextlib
import dataclasses
import errno
import io
import itertools
import json
import os
import pathlib
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from vector_rows import FINGERPRINT, add, keys_for, rows_for

from ecgpipe.cache.vectors import writer as vector_writer
from ecgpipe.cache.vectors.exchange import write_export
from ecgpipe.cache.vectors.part import VectorRows, part_image
from ecgpipe.cache.vectors.reader import VectorCache, part_paths
from ecgpipe.cache.vectors.upkeep import compact, verify
from ecgpipe.cache.vectors.writer import BackgroundWriter, VectorWriter
from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text.model_files import find_model, fingerprint_of
from ecgpipe.errors import StoreError

SIZES = (3, 20, 60, 150, 400)
"""Rows of the parts that a run seals, one after the other; each part is a larger file."""


def numbers_of(part: int) -> range:
    before = sum(SIZES[:part])
    return range(before, before + SIZES[part])


ALL = range(sum(SIZES))


def wide_rows(*numbers: int) -> VectorRows:
    """Rows that tell their text, wide enough for a part to be more than its header."""
    rows = rows_for(*numbers)
    return dataclasses.replace(rows, vectors=np.repeat(rows.vectors[:, :1], 16, axis=1))


def seal_all(root: Path) -> None:
    """A run as the embed stage makes one: what has no vector yet is added, part by part."""
    missing = VectorCache.open(root, FINGERPRINT).missing(keys_for(*ALL))
    wanted = set(missing.tolist())
    writer = VectorWriter(root, FINGERPRINT, {})
    for part in range(len(SIZES)):
        if chosen := [number for number in numbers_of(part) if number in wanted]:
            writer.add(wide_rows(*chosen))
            writer.seal()


def temporary_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*.tmp"))


def check_what_is_left(root: Path) -> int:
    """Nothing but whole parts and the fingerprint; returns the number of parts."""
    assert temporary_files(root) == []
    found = verify(root, FINGERPRINT, False, lambda n: None)
    assert found.bad == {}
    folder = root / FINGERPRINT.short
    if folder.is_dir():
        others = {path.name for path in folder.iterdir()} - {p.name for p in part_paths(folder)}
        assert others <= {"fingerprint.json"}
    return found.parts


def check_a_later_run(root: Path) -> None:
    seal_all(root)
    cache = VectorCache.open(root, FINGERPRINT)
    assert len(cache) == len(ALL)
    assert cache.vectors(keys_for(*ALL))[:, 0].tolist() == list(ALL)
    assert check_what_is_left(root) >= 1


@contextlib.contextmanager
def files_no_larger_than(n_bytes: int) -> Iterator[None]:
    """A write beyond gives EFBIG, as one on a full disk gives ENOSPC, at exactly this byte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def run_here(what: str, *arguments: object) -> dict[str, str]:
    """Run a function of this file in a process of its own, since a limit is for a process."""
    command = [sys.executable, "-W", "error", __file__, what, *map(str, arguments)]
    paths = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stderr}"
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes


def seal_under_limits(folder: str, *limits: str) -> dict[str, str]:
    """For each limit a run into a folder of its own, and what it said."""
    outcomes = {}
    for limit in limits:
        with files_no_larger_than(int(limit)):
            outcomes[limit] = said_by(lambda limit=limit: seal_all(Path(folder, limit)))
    return outcomes


def export_under_limits(folder: str, *limits: str) -> dict[str, str]:
    """For each limit an export of the cache in `folder`, and what it said."""
    cache = VectorCache.open(Path(folder), FINGERPRINT)
    rows = np.arange(len(cache))
    texts = {key.tobytes(): f"所見{number}" for number, key in enumerate(cache.keys)}
    outcomes = {}
    for limit in limits:
        path = Path(folder, "exports", f"{limit}.h5")
        with files_no_larger_than(int(limit)):
            outcomes[limit] = said_by(
                lambda path=path: write_export(path, cache, rows, texts, False, {})
            )
    return outcomes


def said_by(run: Callable[[], None]) -> str:
    try:
        run()
    except StoreError as error:
        return f"StoreError: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def part_sizes() -> list[int]:
    return [len(part_image(wide_rows(*numbers_of(p)), FINGERPRINT, {})) for p in range(len(SIZES))]


def limits_to_try() -> list[int]:
    """About forty: one byte before, at and behind the end of each file, and between."""
    sizes = part_sizes()
    edges = {size + step for size in sizes for step in (-1, 0, 1)}
    between = {int(size) for size in np.linspace(1, sizes[-1], 24)}
    return sorted({0, 1, 60, 512} | edges | between)


def test_a_disk_that_is_full_at_any_byte_leaves_whole_parts_and_a_way_on(tmp_path: Path) -> None:
    limits, sizes = limits_to_try(), part_sizes()
    said = run_here("seal_under_limits", tmp_path, *limits)
    assert len(said) == len(limits) >= 40
    for limit in limits:
        root = tmp_path / str(limit)
        fitting = next((n for n, size in enumerate(sizes) if size > limit), len(sizes))
        assert check_what_is_left(root) == fitting, limit
        if fitting == len(sizes):
            assert said[str(limit)] == "done"
        else:
            assert said[str(limit)].startswith(f"StoreError: Cannot write {root}"), limit
            assert "File too large. Check the permissions and free space" in said[str(limit)]
        check_a_later_run(root)


def test_an_export_onto_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    seal_all(tmp_path)
    (tmp_path / "exports").mkdir()
    run_here("export_under_limits", tmp_path, 1 << 30)
    whole = tmp_path / "exports" / f"{1 << 30}.h5"
    size = whole.stat().st_size
    whole.unlink()
    enough = size + (1 << 20)  # room may be taken that is given back
    limits = sorted({0, 1, 511, 512, size - 1, *(int(n) for n in np.linspace(1, size, 30)), enough})
    said = run_here("export_under_limits", tmp_path, *limits)
    for limit, words in said.items():
        clean = words.startswith(f"StoreError: Cannot write {tmp_path}")
        assert clean or (words == "done" and int(limit) >= size), (limit, words)
    done = {f"{limit}.h5" for limit, words in said.items() if words == "done"}
    assert f"{enough}.h5" in done
    assert {path.name for path in (tmp_path / "exports").iterdir()} == done
    with h5py.File(tmp_path / "exports" / f"{enough}.h5") as file:
        assert file["vectors"][:, 0].tolist() == list(ALL)


def test_the_command_tells_of_a_full_disk_and_ends_with_code_1(tmp_path: Path) -> None:
    settings = {
        "name": "toy",
        "work_dir": str(tmp_path / "work"),
        "data": {"sources": [{"kind": "table", "table": "none.csv"}]},
        "text": {"model": "imported:api", "dtype": "float32", "pooling": "last_token"},
    }
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(settings))
    with h5py.File(tmp_path / "api.h5", "w") as file:
        file["vectors"] = np.ones((500, 16), np.float32)
        file["text"] = [f"text {number}" for number in range(500)]

    def run(limit: int) -> subprocess.CompletedProcess[str]:
        limited = (
            f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
            " from ecgpipe.commands.main import main; main()"
        )
        arguments = ["vectors", "import", str(tmp_path / "api.h5")]
        return subprocess.run(
            [sys.executable, "-c", limited, *arguments, "-c", str(tmp_path / "pipeline.yaml")],
            capture_output=True,
            text=True,
            timeout=120,
        )

    done = run(20_000)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"ecgpipe: Cannot write {tmp_path / 'work'}")
    assert "Check the permissions and free space there" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert temporary_files(tmp_path) == []
    config = TextConfig(model="imported:api", dtype="float32")
    fingerprint = fingerprint_of(find_model(config), config, config.view, tmp_path / "memo")
    root = tmp_path / "work" / "embeddings"
    assert verify(root, fingerprint, False, lambda n: None).parts == 0
    run(1 << 30)  # it then misses the records, without which this test does
    assert verify(root, fingerprint, False, lambda n: None).rows == 500


def test_a_file_in_the_caches_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    with pytest.raises(StoreError, match="Cannot write") as caught:
        seal_all(tmp_path / "root")
    assert str(tmp_path / "root") in str(caught.value)
    assert (tmp_path / "root").read_text() == "a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    add(tmp_path, wide_rows(*numbers_of(0)))
    folder = tmp_path / FINGERPRINT.short
    folder.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="Permission denied") as caught:
            seal_all(tmp_path)
        assert str(folder) in str(caught.value)
        assert check_what_is_left(tmp_path) == 1
    finally:
        folder.chmod(0o700)
    check_a_later_run(tmp_path)


class Failing:
    """Calls of one kind: the first `good` go well, then one gives EIO, as a dying disk does."""

    def __init__(self, good: int) -> None:
        self._left = good

    def check(self) -> None:
        self._left -= 1
        if self._left == -1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def fail_at_write(failing: Failing, patch: pytest.MonkeyPatch) -> None:
    class Disk(io.FileIO):
        def write(self, content: object) -> int:
            failing.check()
            return super().write(memoryview(content)[:4096])  # as much as a page at once

    real = pathlib.Path.open

    def open_(self: Path, mode: str = "r", *arguments: object, **named: object) -> object:
        if mode != "xb":
            return real(self, mode, *arguments, **named)
        return io.BufferedWriter(Disk(self, "x"))

    patch.setattr(pathlib.Path, "open", open_)


def fail_at_fsync(failing: Failing, patch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        failing.check()
        real(descriptor)

    patch.setattr(os, "fsync", fsync)


def fail_at_rename(failing: Failing, patch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def replace(one: Path, other: Path) -> None:
        failing.check()
        real(one, other)

    patch.setattr(os, "replace", replace)


KINDS = {"write": fail_at_write, "fsync": fail_at_fsync, "rename": fail_at_rename}


@pytest.mark.parametrize("good", range(10))
@pytest.mark.parametrize("kind", KINDS)
def test_a_dying_disk_costs_one_part_and_nothing_that_was_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, good: int
) -> None:
    """At every call of a run: of the fingerprint, of each part, of their folder."""
    KINDS[kind](Failing(good), monkeypatch)
    words = said_by(lambda: seal_all(tmp_path))
    monkeypatch.undo()
    n_calls = {"write": 999, "fsync": 2 * (1 + len(SIZES)), "rename": 1 + len(SIZES)}[kind]
    if good < n_calls:
        assert words.startswith(f"StoreError: Cannot write {tmp_path}"), words
        assert "Input/output error" in words
    else:
        assert words == "done"
    check_what_is_left(tmp_path)
    check_a_later_run(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_could_not_be_sealed_can_be_sealed_once_the_disk_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    writer = VectorWriter(tmp_path, FINGERPRINT, {})
    writer.add(wide_rows(*ALL))
    KINDS[kind](Failing(0), monkeypatch)
    with pytest.raises(StoreError, match="Input/output error"):
        writer.seal()
    monkeypatch.undo()
    assert writer.sealed_rows == 0
    writer.seal()
    assert writer.sealed_rows == len(ALL)
    assert check_what_is_left(tmp_path) == 1


def test_a_dying_disk_while_parts_are_joined_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal_all(tmp_path)
    for kind, good in itertools.product(KINDS, range(3)):
        KINDS[kind](Failing(good), monkeypatch)
        words = said_by(lambda: compact(tmp_path, FINGERPRINT, {}))
        monkeypatch.undo()
        assert words == "done" or words.startswith("StoreError: "), words
        assert temporary_files(tmp_path) == []
        cache = VectorCache.open(tmp_path, FINGERPRINT)
        assert cache.vectors(keys_for(*ALL))[:, 0].tolist() == list(ALL)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 KiB, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    if not mounts("-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)):
        pytest.skip("this user may not mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def mounts(*arguments: str) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def test_a_disk_that_is_really_full_is_told_and_a_larger_one_goes_on(small_disk: Path) -> None:
    root = small_disk / "embeddings"
    (small_disk / "filling").write_bytes(bytes(60_000))  # all parts together would fit otherwise
    with pytest.raises(StoreError, match="No space left on device") as caught:
        seal_until_full(root)
    assert str(root) in str(caught.value)
    n_parts = check_what_is_left(root)
    assert n_parts > 1
    with pytest.raises(StoreError, match="No space left on device"):
        compact(root, FINGERPRINT, {})
    assert temporary_files(small_disk) == []
    assert verify(root, FINGERPRINT, False, lambda n: None).parts == n_parts
    (root / FINGERPRINT.short / ".compact.lock").unlink(missing_ok=True)
    assert mounts("-o", "remount,size=4m", str(small_disk))
    check_a_later_run(root)


def test_an_export_onto_a_disk_that_is_really_full_leaves_no_file(
    small_disk: Path, tmp_path: Path
) -> None:
    seal_all(tmp_path / "cache")
    full = 1 << 30  # the disk itself is the limit
    (tmp_path / "cache" / "exports").symlink_to(small_disk)
    for filled in range(0, 120_001, 40_000):
        (small_disk / "filling").write_bytes(bytes(filled))
        words = run_here("export_under_limits", tmp_path / "cache", full)[str(full)]
        assert words.startswith("StoreError: Cannot write"), words
        assert "No space left on device" in words
        assert [path.name for path in small_disk.iterdir()] == ["filling"]


def test_a_disk_that_became_read_only_is_told(small_disk: Path) -> None:
    add(small_disk, wide_rows(*numbers_of(0)))
    assert mounts("-o", "remount,ro", str(small_disk))
    with pytest.raises(StoreError, match="Read-only file system") as caught:
        seal_all(small_disk)
    assert str(small_disk / FINGERPRINT.short) in str(caught.value)
    assert check_what_is_left(small_disk) == 1
    assert mounts("-o", "remount,rw,size=4m", str(small_disk))
    check_a_later_run(small_disk)


def seal_until_full(root: Path) -> None:
    """Through the thread that seals beside the model, as the embed stage does."""
    writer = VectorWriter(root, FINGERPRINT, {})
    with pytest.MonkeyPatch.context() as patch, BackgroundWriter([writer]) as background:
        patch.setattr(vector_writer, "SEAL_ROWS", 50)
        for start in range(0, len(ALL), 50):
            background.add(writer, wide_rows(*ALL[start : start + 50]))


if __name__ == "__main__":
    functions = {"seal_under_limits": seal_under_limits, "export_under_limits": export_under_limits}
    print(json.dumps(functions[sys.argv[1]](*sys.argv[2:])))
