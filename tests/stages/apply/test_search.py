"""`ecgpipe search`: the ECGs that fit a sentence, or resemble one; archives of other models."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_experiment import Experiment as Toy

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.archive import ArchiveOrigin, write_archive
from ecgpipe.apply_model.recordings import inputs_of
from ecgpipe.stages.apply.predict import PredictOptions, run_predict
from ecgpipe.stopping import Stop


@pytest.fixture(scope="module")
def archive(applied: AppliedModel, ecgs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "a.h5"
    options = PredictOptions(vectors=path)
    run_predict(applied, lambda: inputs_of([str(ecgs / "ecg")]), options, Stop(), None)
    return path


def found(toy: Toy, *arguments: str) -> list[dict[str, Any]]:
    code, out, err = toy.run("search", "toy", *arguments, "--json")
    assert code == 0, err
    matches: list[dict[str, Any]] = json.loads(out.splitlines()[-1])["search"]["matches"]
    return matches


def test_a_sentence_ranks_ecgs_as_their_scores_do(
    finished: tuple[Toy, Any], applied: AppliedModel, archive: Path, ecgs: Path
) -> None:
    one = applied.task().classes[0]
    matches = found(finished[0], one.wordings["ja"][0], "--archive", str(archive), "-n", "5")
    expected = []
    for given in inputs_of([str(ecgs / "ecg")]):
        ecg = applied.read(given.path)
        score = applied.scores(applied.encode_ecg(ecg.signal_uv[None]))[0, 0]
        expected.append((float(score), given.record_id))
    expected.sort(reverse=True)
    assert [m["rank"] for m in matches] == [1, 2, 3, 4, 5]
    for match, (score, _) in zip(matches, expected, strict=False):
        assert match["cosine"] == pytest.approx(score, abs=1e-5)


def test_an_archive_and_the_prepared_signals_give_the_same(
    finished: tuple[Toy, Any], archive: Path
) -> None:
    one = found(finished[0], "心房細動", "--archive", str(archive), "-n", "8")
    other = found(finished[0], "心房細動", "-n", "8")
    assert [Path(m["record_id"]).name for m in one] == [m["record_id"] for m in other]
    assert [m["cosine"] for m in one] == pytest.approx([m["cosine"] for m in other], abs=1e-5)


def test_an_ecg_finds_others_and_not_itself(finished: tuple[Toy, Any], archive: Path) -> None:
    name = found(finished[0], "心房細動", "--archive", str(archive))[0]["record_id"]
    others = found(finished[0], "--like", name, "--archive", str(archive), "-n", "3")
    assert name not in [m["record_id"] for m in others]
    assert [m["cosine"] for m in others] == sorted((m["cosine"] for m in others), reverse=True)


def test_a_recording_from_outside_can_be_the_example(finished: tuple[Toy, Any], ecgs: Path) -> None:
    path = ecgs / "ecg" / "000" / "p00000r1.hea"
    first = found(finished[0], "--like", str(path), "-n", "1")[0]
    assert first["record_id"] == "p00000r1"
    assert first["cosine"] == pytest.approx(1, abs=1e-5)


def test_matches_are_written_and_drawn(
    finished: tuple[Toy, Any], archive: Path, tmp_path: Path
) -> None:
    out, sheet = tmp_path / "m.csv", tmp_path / "m.svg"
    arguments = ("--archive", str(archive), "-n", "7", "-o", str(out), "--sheet", str(sheet))
    matches = found(finished[0], "心房細動", *arguments)
    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["record_id"] for row in rows] == [m["record_id"] for m in matches]
    pages = sorted(tmp_path.glob("m-*.svg"))
    assert len(pages) == 2  # six to a page
    assert "SIMULATED" in pages[0].read_text("utf-8")


def test_a_match_that_cannot_be_drawn_is_named_and_the_others_are_drawn(
    finished: tuple[Toy, Any], applied: AppliedModel, ecgs: Path, tmp_path: Path
) -> None:
    vectors = np.eye(2, int(applied.content.shape["projection_dim"]), dtype=np.float32)
    named = [("gone", "nowhere/gone.hea"), ("there", str(ecgs / "ecg/000/p00000r1.hea"))]
    origin = ArchiveOrigin("toy", applied.digest, applied.contract.as_dict(), {})
    write_archive(tmp_path / "a.h5", origin, vectors.shape, lambda: named, [vectors])
    arguments = ("--archive", str(tmp_path / "a.h5"), "--sheet", str(tmp_path / "m.png"))
    code, _, err = finished[0].run("search", "toy", "心房細動", *arguments)
    assert code == 1
    assert "gone cannot be drawn" in err
    assert (tmp_path / "m.png").stat().st_size > 1000


def test_an_archive_of_another_model_is_refused(
    finished: tuple[Toy, Any], applied: AppliedModel, tmp_path: Path
) -> None:
    origin = ArchiveOrigin("other", "ab" * 32, applied.contract.as_dict(), {})
    vectors = np.ones((1, 4), np.float32) / 2
    write_archive(tmp_path / "a.h5", origin, (1, 4), lambda: [("a", "a")], [vectors])
    code, _, err = finished[0].run("search", "toy", "心房細動", "--archive", str(tmp_path / "a.h5"))
    assert code == 1
    assert "vectors of another model (other, abababababab" in err
    assert "Write it again: `ecgpipe predict" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "Give a TEXT or --like"),
        (("x", "--like", "y"), 2, "not both"),
        (("x", "-o", "m.xlsx"), 2, "must end in .csv"),
        (("x", "--archive", "a.h5", "--split", "test"), 2, "an archive has none"),
        (("x", "--archive", "a.h5"), 1, "a.h5 does not exist"),
        (("--like", "nobody"), 1, "none has this id"),
    ],
)
def test_what_cannot_be_searched_is_told(
    finished: tuple[Toy, Any], arguments: tuple[str, ...], code: int, message: str
) -> None:
    found_code, _, err = finished[0].run("search", "toy", *arguments)
    assert found_code == code
    assert message in err


def test_signals_prepared_otherwise_are_not_searched(
    experiment: Toy, finished: tuple[Toy, Any]
) -> None:
    run = finished[0].folder / "work" / "runs" / "toy"
    code, _, err = experiment.run("search", str(run), "心房細動", "--set", "data.rate_hz=200")
    assert code == 1
    assert "were prepared otherwise than this model demands (100 Hz, 10 s)" in err
