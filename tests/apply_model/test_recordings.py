"""What a command line names: which files are one ECG, in which order, and why one is refused."""

import errno
import itertools
import pickle
import resource
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clinical_files import write_all
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.apply_model.recordings import Input, each_once, inputs_of, inputs_of_table
from ecgpipe.errors import RecordError, SourceError


def names(inputs: Iterator[Input]) -> list[str]:
    return [given.record_id for given in inputs]


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as people have them: WFDB pairs, other formats, and what is no ECG."""
    monkeypatch.chdir(tmp_path)
    write_wfdb(Path("ward/2024"), "b", ecg_like(seed=2))
    write_wfdb(Path("ward/2024"), "a", ecg_like(seed=1))
    (Path("ward/2024") / "a.atr").write_bytes(b"\x01\x02\x00\x00")
    (Path("ward") / "README").write_text("ECGs of the ward\n")
    (Path("ward") / "ids.csv").write_text("record_id,name\n1,x\n")
    (Path("ward") / ".hidden").write_text("x")
    (Path("ward") / ".git").mkdir()
    (Path("ward") / ".git" / "x").write_text("x")
    with zipfile.ZipFile(Path("ward") / "old.zip", "w") as archive:
        archive.writestr("a.xml", "<x/>")
    return Path("ward")


def test_a_wfdb_pair_counts_once_and_hidden_files_not_at_all(ward: Path) -> None:
    found = names(inputs_of([str(ward)]))
    assert found == ["ward/2024/a", "ward/2024/b", "ward/README", "ward/ids.csv", "ward/old.zip"]


def test_signals_under_another_name_than_their_header_count_once(ward: Path) -> None:
    header = ward / "2024" / "c.hea"
    text = (ward / "2024" / "a.hea").read_text("utf-8")
    header.write_text(text.replace("a.dat", "samples.dat"), "utf-8")
    (ward / "2024" / "a.dat").rename(ward / "2024" / "samples.dat")
    (ward / "2024" / "a.hea").unlink()
    (ward / "2024" / "a.atr").unlink()
    assert names(inputs_of([str(ward / "2024")])) == ["ward/2024/b", "ward/2024/c"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("README", "is a text, not an ECG"),
        ("ids.csv", "no column is named after a lead"),
        ("old.zip", "is a ZIP archive .* unpack it first"),
    ],
)
def test_what_is_no_ecg_is_refused_with_the_true_reason(ward: Path, name: str, reason: str) -> None:
    given = next(each for each in inputs_of([str(ward)]) if each.record_id == f"ward/{name}")
    with pytest.raises(RecordError, match=reason):
        given.read()


def test_a_name_that_no_file_can_have_does_not_end_the_others(ward: Path) -> None:
    found = list(inputs_of(["a" * 300, str(ward / "2024" / "a")]))
    assert [given.open is None for given in found] == [True, False]
    with pytest.raises(RecordError, match="neither aaa"):
        found[0].read()


def test_a_forbidden_file_is_refused_like_any_other(
    ward: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def open_but_not_readme(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == "README":  # by hand, because nothing is forbidden to root
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", open_but_not_readme)
    (given,) = inputs_of([str(ward / "README")])
    with pytest.raises(RecordError, match="Permission denied"):
        given.read()


def test_every_format_in_one_folder_is_found_once_and_read(tmp_path: Path) -> None:
    written = write_all(tmp_path)
    found = list(inputs_of([str(tmp_path)]))
    assert len(found) == len(written)
    for given in found:
        assert given.read().signal_mv.shape[0] == 12


def test_what_the_shell_expands_gives_the_ecgs_that_the_folder_gives(ward: Path) -> None:
    expanded = sorted(map(str, (ward / "2024").glob("[ab].[hd]*")))
    assert len(expanded) == 4  # two headers, two files of samples
    assert names(inputs_of(expanded)) == ["ward/2024/a", "ward/2024/b"]


@pytest.mark.parametrize("pattern", ["ward/2024/*", "ward/**/[ab].*", "ward/20*"])
def test_a_pattern_that_no_shell_expanded_is_expanded(ward: Path, pattern: str) -> None:
    assert names(inputs_of([pattern])) == ["ward/2024/a", "ward/2024/b"]


def test_an_ecg_named_twice_is_answered_once(ward: Path) -> None:
    assert names(inputs_of(["ward/2024/b", "ward/2024/b.dat", "ward/2024"])) == [
        "ward/2024/b",
        "ward/2024/a",
    ]


def test_an_unset_shell_variable_does_not_mean_the_current_folder() -> None:
    with pytest.raises(SourceError, match="name of an input is empty"):
        list(inputs_of([""]))


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    with pytest.raises(SourceError, match=r"no recording, at any depth.*WFDB.*DICOM"):
        list(inputs_of([str(tmp_path)]))


def test_a_pattern_that_nothing_fits_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Nothing fits"):
        list(inputs_of([str(tmp_path / "*.xml")]))


def test_a_wrong_name_is_refused_and_the_rest_goes_on(ward: Path) -> None:
    first, second = inputs_of(["ward/2024/z", "ward/2024/a"])
    with pytest.raises(RecordError, match=r"neither ward/2024/z nor z\.hea exists"):
        first.read()
    assert second.read().signal_mv.shape == (12, 5000)


def test_a_link_that_leads_back_up_ends_the_way(ward: Path) -> None:
    (ward / "2024" / "up").symlink_to("..", target_is_directory=True)
    (ward / "linked").symlink_to("2024", target_is_directory=True)
    found = names(inputs_of([str(ward)]))
    assert "ward/linked/a" in found
    assert not any("/up/" in name for name in found)


def write_table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["record_id,path,findings", *rows]) + "\n", "utf-8")
    return path


def test_a_table_needs_no_labels_and_no_patients(ward: Path) -> None:
    table = ward / "list.csv"
    table.write_text("record_id,path\n17,2024/a\n18,2024/b.hea\n", "utf-8")
    found = list(inputs_of_table(table))
    assert [given.record_id for given in found] == ["17", "18"]
    assert [given.read().signal_mv.shape for given in found] == [(12, 5000), (12, 5000)]
    moved = table.rename("list.csv")
    assert [given.path for given in inputs_of_table(moved, root=ward)] == [
        "ward/2024/a",
        "ward/2024/b.hea",
    ]


def test_a_bad_row_is_named_and_the_others_go_on(ward: Path) -> None:
    table = write_table(ward / "list.csv", ",2024/a,x", "18,/etc/passwd,x", "19,2024/b,x")
    no_id, outside, good = inputs_of_table(table)
    with pytest.raises(RecordError, match=r"row 2 of list\.csv has no record_id"):
        no_id.read()
    with pytest.raises(RecordError, match=r"row 3 of list\.csv.*leaves the root"):
        outside.read()
    assert good.read().signal_mv.shape == (12, 5000)


def test_two_ecgs_of_one_id_are_told_and_only_the_first_is_answered(ward: Path) -> None:
    table = write_table(ward / "list.csv", "17,2024/a,x", "17,2024/b,x", "17,2024/a,x")
    first, second = inputs_of_table(table)
    assert first.read().signal_mv.shape == (12, 5000)
    with pytest.raises(RecordError, match="another recording before it has the id '17'"):
        second.read()


def test_a_table_without_paths_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("record_id\n17\n")
    with pytest.raises(SourceError, match="no column path"):
        list(inputs_of_table(table))


def test_an_input_can_be_sent_to_another_process(ward: Path) -> None:
    sent = pickle.loads(pickle.dumps(next(inputs_of(["ward/2024/a"]))))
    assert sent.read().signal_mv.shape == (12, 5000)


def test_a_million_inputs_are_not_held_in_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    many = each_once(Input(f"r{n:07}", "ecg" * 100, None) for n in range(100_000))
    assert sum(1 for _ in many) == 100_000
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 40_000  # the inputs themselves would be 60 MB


def sparse(path: Path, head: bytes) -> Path:
    with path.open("wb") as file:
        file.write(head)
        file.truncate(2 << 30)
    return path


def wfdb_of_2_gb(folder: Path) -> Path:
    lines = [f"big.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in ("I", "II")]
    (folder / "big.hea").write_text("\n".join(["big 2 500 536870912", *lines]))
    return sparse(folder / "big.dat", b"")


def wfdb_of_2_gb_of_unknown_length(folder: Path) -> Path:
    (folder / "big.hea").write_text("big 1 500\nbig.dat 212 1000/mV 12 0 0 0 0 I\n")
    return sparse(folder / "big.dat", b"")


@pytest.mark.parametrize(
    "write",
    [
        wfdb_of_2_gb,
        wfdb_of_2_gb_of_unknown_length,
        lambda folder: sparse(folder / "big.xml", b"<?xml version='1.0'?><restingecgdata>"),
        lambda folder: sparse(folder / "big.dcm", b"\0" * 128 + b"DICM"),
        lambda folder: sparse(folder / "big.csv", b"I [mV],II [mV]\n0,0\n"),
        lambda folder: sparse(folder / "big.zip", b"PK\x03\x04"),
        lambda folder: sparse(folder / "big.npy", b"\x93NUMPY\x01\x00v\x00"),
    ],
)
def test_a_file_of_2_gb_is_refused_before_it_fills_the_memory(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    write(tmp_path)
    (given,) = inputs_of([str(tmp_path)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RecordError):
        given.read()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def test_the_order_is_the_same_each_time(ward: Path) -> None:
    rng = np.random.default_rng(0)
    for number in rng.permutation(20).tolist():
        write_wfdb(ward / f"day{number % 3}", f"r{number:02}", ecg_like(seed=number, samples=100))
    once, again = (names(inputs_of(["ward"])) for _ in range(2))
    assert once == again
    assert all(a < b for a, b in itertools.pairwise(once))
