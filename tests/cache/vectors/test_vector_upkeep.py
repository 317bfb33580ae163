"""Verify, gc, compact: nothing good is lost, nothing bad is kept."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from vector_rows import FINGERPRINT, add, keys_for, rows_for

from ecgpipe.cache.vectors import upkeep as vector_upkeep
from ecgpipe.cache.vectors.fingerprint import Fingerprint
from ecgpipe.cache.vectors.part import part_image
from ecgpipe.cache.vectors.reader import VectorCache, part_paths
from ecgpipe.cache.vectors.upkeep import compact, verify
from ecgpipe.errors import StoreError
from ecgpipe.files import remove_leftovers


def check(root: Path, quarantine: bool = True) -> vector_upkeep.Verified:
    return verify(root, FINGERPRINT, quarantine, lambda n: None)


def folder(root: Path) -> Path:
    return root / FINGERPRINT.short


def cached(root: Path) -> VectorCache:
    return VectorCache.open(root, FINGERPRINT)


def test_a_good_cache_verifies(tmp_path: Path) -> None:
    add(tmp_path, rows_for(*range(10)), rows_for(*range(10, 15)))
    found = check(tmp_path)
    assert (found.parts, found.rows, found.bad) == (2, 15, {})


@pytest.mark.parametrize("damage", ["flip", "truncate", "foreign", "other fingerprint"])
def test_a_bad_part_is_moved_aside_and_the_rest_served(tmp_path: Path, damage: str) -> None:
    add(tmp_path, rows_for(1, 2, 3), rows_for(4))
    bad = part_paths(folder(tmp_path))[0]
    content = bytearray(bad.read_bytes())
    if damage == "flip":
        content[content.index(rows_for(2).vectors.tobytes())] ^= 4
    elif damage == "truncate":
        del content[-500:]
    elif damage == "foreign":
        content[:] = b"no HDF5"
    else:
        content[:] = part_image(rows_for(1), Fingerprint({"weights": "other"}), {})
    bad.write_bytes(content)
    dry = check(tmp_path, quarantine=False)
    assert list(dry.bad) == [bad.name]
    assert bad.exists()
    assert list(check(tmp_path).bad) == [bad.name]
    assert (folder(tmp_path) / "bad" / bad.name).read_bytes() == bytes(content)
    assert cached(tmp_path).missing(keys_for(1, 2, 3, 4)).tolist() == [0, 1, 2]
    assert check(tmp_path).bad == {}


def test_an_empty_cache_verifies(tmp_path: Path) -> None:
    assert check(tmp_path) == vector_upkeep.Verified(0, 0)


def test_only_old_leftovers_are_removed(tmp_path: Path) -> None:
    add(tmp_path, rows_for(1))
    old, young = (folder(tmp_path) / f".part-{name}.h5.1-ab.tmp" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"x" * 100)
    two_days_ago = time.time() - 48 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    assert remove_leftovers(folder(tmp_path)) == (1, 100)
    assert young.exists()
    assert len(cached(tmp_path)) == 1


def test_compacting_keeps_every_winner_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_upkeep, "COMPACT_ROWS", 7)
    for start in range(0, 30, 3):  # every text twice, with different vectors
        add(tmp_path, rows_for(*range(start, start + 3), value=1.0))
    add(tmp_path, rows_for(*range(30), value=2.0))
    before = cached(tmp_path).vectors(keys_for(*range(30)))
    assert compact(tmp_path, FINGERPRINT, {}) == 5
    after = cached(tmp_path)
    assert len(after) == 30
    assert np.array_equal(after.vectors(keys_for(*range(30))), before)
    assert check(tmp_path).bad == {}
    add(tmp_path, rows_for(3, value=9.0), rows_for(99))  # later parts never win over it
    assert np.array_equal(cached(tmp_path).vectors(keys_for(*range(30))), before)
    compact(tmp_path, FINGERPRINT, {})
    assert np.array_equal(cached(tmp_path).vectors(keys_for(*range(30))), before)
    assert len(cached(tmp_path)) == 31


def test_a_kill_between_the_new_parts_and_the_old_changes_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, rows_for(1, 2, value=1.0), rows_for(1, 2, value=2.0), rows_for(2, 3))
    before = cached(tmp_path).vectors(keys_for(1, 2, 3))

    def killed(self: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            compact(tmp_path, FINGERPRINT, {})
    for victim in part_paths(folder(tmp_path))[1:]:
        assert np.array_equal(cached(tmp_path).vectors(keys_for(1, 2, 3)), before)
        victim.unlink()  # whichever old part goes next
    assert np.array_equal(cached(tmp_path).vectors(keys_for(1, 2, 3)), before)


def test_a_damaged_part_is_never_compacted_away(tmp_path: Path) -> None:
    add(tmp_path, rows_for(1, 2, 3), rows_for(4))
    path = part_paths(folder(tmp_path))[0]
    content = bytearray(path.read_bytes())
    content[content.index(rows_for(2).vectors.tobytes())] ^= 4
    path.write_bytes(content)
    with pytest.raises(StoreError, match="Run `ecgpipe verify`"):
        compact(tmp_path, FINGERPRINT, {})
    assert len(part_paths(folder(tmp_path))) == 2


def test_an_empty_cache_compacts_to_nothing(tmp_path: Path) -> None:
    (tmp_path / FINGERPRINT.short).mkdir()
    assert compact(tmp_path, FINGERPRINT, {}) == 0


def test_the_first_of_many_equal_keys_wins(tmp_path: Path) -> None:
    for number in range(40):  # enough that an unstable sort would show
        add(tmp_path, rows_for(7, value=float(number)))
    assert cached(tmp_path).vectors(keys_for(7)).tolist() == [[7.0, 0.0]]
    compact(tmp_path, FINGERPRINT, {})
    assert cached(tmp_path).vectors(keys_for(7)).tolist() == [[7.0, 0.0]]
