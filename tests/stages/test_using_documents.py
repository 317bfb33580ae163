"""docs/using.md and its Japanese page: the example runs, and both say the same."""

import contextlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from documents import ROOT, read_document, run_example

PAGES = {"docs/using.md": "From Python", "docs/using.ja.md": "Python から"}


@pytest.mark.parametrize(("page", "heading"), PAGES.items(), ids=["en", "ja"])
def test_the_example_scores_a_recording(
    page: str, heading: str, exported: Path, ecgs: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "my-model").symlink_to(exported)
    header = min(ecgs.rglob("*.hea"))
    (tmp_path / "ecg").mkdir()
    text = header.read_text().replace(header.stem, "0001")
    (tmp_path / "ecg" / "0001.hea").write_text(text)
    shutil.copy(header.with_suffix(".dat"), tmp_path / "ecg" / "0001.dat")
    with contextlib.chdir(tmp_path):
        names = run_example(page, heading)
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert names["cosines"].shape == (1, 2)
    np.testing.assert_allclose(names["chances"].sum(), 1)
    # The classes MI and NORM of the task are asked for by the same words.
    order = [c.id for c in names["model"].tasks["superclass"].classes]
    asked = names["scores"][0, [order.index("MI"), order.index("NORM")]]
    np.testing.assert_allclose(names["cosines"][0], asked, atol=1e-6)


def test_both_pages_have_the_same_sections_and_programs() -> None:
    english, japanese = (read_document(ROOT / page) for page in PAGES)
    assert len(english.headings) == len(japanese.headings)
    for (kind, text), (other_kind, other) in zip(english.blocks, japanese.blocks, strict=True):
        assert kind == other_kind
        plain = [re.sub(r"\s*#.*|\"(en|ja)\"", "", page) for page in (text, other)]
        assert plain[0] == plain[1]
