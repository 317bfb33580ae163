"""The pictures of the guide: they are those that the command makes, and show the faults it says."""

from pathlib import Path

import make_pictures
from documents import ROOT, read_document

from ecgpipe.config.file import load_config
from ecgpipe.stages.check.check import read_all_rows
from ecgpipe.stages.check.recordings import look_at_recordings
from ecgpipe.stages.show.suspects import suspects

PICTURES = ROOT / "docs" / "pictures"


def test_exactly_the_ecgs_with_a_fault_are_suspicious_each_for_its_fault(tmp_path: Path) -> None:
    make_pictures.write_hospital(tmp_path)
    config = load_config(tmp_path / "pipeline.yaml")
    rows, _ = read_all_rows(config, [])
    found = suspects(look_at_recordings(rows, config.data), config, "en")
    assert {
        suspect.row.row.record_id: suspect.reasons[0].partition(":")[0] for suspect in found
    } == {
        "0004": "arm electrodes may be reversed",
        "0009": "power-line noise is strong",
        "0015": "limb leads contradict each other (I + III = II and Goldberger's equations fail)",
        "0022": "a lead is flat",
        "0028": "would be rejected",
        "0034": "waveform is identical to that of 0001",
    }


def test_every_picture_is_made_by_the_command_is_small_and_is_shown() -> None:
    pages = [read_document(ROOT / f"docs/own-ecgs{language}.md") for language in ("", ".ja")]
    shown = {link for page in pages for link in page.links if link.startswith("pictures/")}
    assert {f"pictures/{path.name}" for path in PICTURES.iterdir()} == shown
    made = {f"{name}.{each}.png" for name, _ in make_pictures.PICTURES for each in ("en", "ja")}
    assert {Path(link).name for link in shown} == made
    assert all(path.stat().st_size < 200_000 for path in PICTURES.iterdir())
