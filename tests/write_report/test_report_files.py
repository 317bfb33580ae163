"""Reports as files: whole, in both languages, safe in a spreadsheet."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ecgpipe.errors import ConfigError
from ecgpipe.write_report.report_files import check_report_suffix, write_reports

ROWS: list[dict[str, Any]] = [
    {
        "record_id": "=1+1", "path": "a.dcm", "refused": "", "quality": "good", "unjudged": 0,
        "findings": [{"id": "2"}, {"id": "66"}], "reports": {"ja": "所見：洞調律。", "en": "F."},
    },
    {
        "record_id": "b", "path": "b", "refused": "a text", "quality": "", "unjudged": 0,
        "findings": [], "reports": {"ja": "", "en": ""},
    },
]  # fmt: skip


def test_a_table_has_both_languages_the_ids_and_the_refusals(tmp_path: Path) -> None:
    write_reports(tmp_path / "r.CSV", ROWS)
    with (tmp_path / "r.CSV").open(encoding="utf-8-sig", newline="") as file:
        one, two = csv.DictReader(file)
    assert one["record_id"] == "'=1+1"  # no formula
    assert (one["report_ja"], one["report_en"]) == ("所見：洞調律。", "F.")
    assert one["findings"] == "2;66"
    assert (two["refused"], two["report_ja"]) == ("a text", "")


def test_json_lines_hold_everything(tmp_path: Path) -> None:
    write_reports(tmp_path / "r.jsonl", ROWS)
    lines = (tmp_path / "r.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ROWS


def test_another_kind_of_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"x.parquet must end in .csv or .jsonl"):
        check_report_suffix(Path("x.parquet"))


def test_a_name_that_is_no_unicode_ends_nothing(tmp_path: Path) -> None:
    row = {**ROWS[0], "path": "\udcff.dcm"}
    for name in ("r.csv", "r.jsonl"):
        write_reports(tmp_path / name, [row])
        assert b"udcff" in (tmp_path / name).read_bytes()
