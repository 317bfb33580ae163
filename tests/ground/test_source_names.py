"""What sources are called: in eval.sources, in messages and in lists."""

from pathlib import Path

import pytest

from ecgpipe.config.data import DataConfig, PtbxlSource, Source, TableSource
from ecgpipe.config.file import config_as_yaml, load_config, parse_config
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.errors import ConfigError


def table(path: str, name: str | None = None) -> TableSource:
    return TableSource(kind="table", table=Path(path), name=name)


def ptbxl(root: str, name: str | None = None) -> PtbxlSource:
    return PtbxlSource(kind="ptbxl", root=Path(root), name=name)


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        ([ptbxl("data/ptb-xl"), table("data/records.csv")], ["ptbxl", "records"]),
        ([table("a/2023/r.csv"), table("a/2024/r.xlsx")], ["2023/r", "2024/r"]),
        ([table("records.csv"), table("2024/records.csv")], ["records", "2024/records"]),
        ([table("a/x/r.csv"), table("b/x/r.csv"), table("r.csv")], ["a/x/r", "b/x/r", "r"]),
        ([ptbxl("one/ptb-xl"), ptbxl("two/ptb-xl")], ["one/ptbxl", "two/ptbxl"]),
        ([table("a/r.csv", "r"), table("b/r.csv")], ["r", "b/r"]),
        ([table("r.csv", "2023"), table("r.csv", "2024")], ["2023", "2024"]),
    ],
)  # fmt: skip
def test_sources_without_a_name_get_one_that_means_one_source(
    sources: list[Source], names: list[str]
) -> None:
    assert [source.called for source in DataConfig(sources=tuple(sources)).sources] == names


@pytest.mark.parametrize(
    "sources",
    [
        [table("a/r.csv", "r"), table("b/s.csv", "r")],
        [table("r.csv"), table("r.xlsx")],
        [table("a/r.csv"), table("a/r.csv")],
    ],
)
def test_two_sources_of_one_name_are_refused(sources: list[Source]) -> None:
    with pytest.raises(ValueError, match=r"are called '(a/)?r': give each a `name` of its own"):
        DataConfig(sources=tuple(sources))


def settings(*sources: dict[str, str], scored: list[str] | None = None) -> PipelineConfig:
    values = {
        "name": "x",
        "data": {"sources": list(sources)},
        "text": {"model": "org/model"},
        "eval": {"sources": scored},
    }
    return parse_config(values, Path("/somewhere"), "pipeline.yaml")


YEARS = [{"kind": "table", "table": f"{year}/records.csv"} for year in (2023, 2024)]


def test_names_do_not_depend_on_where_the_project_lies_and_are_written_down(tmp_path: Path) -> None:
    config = settings({"kind": "table", "table": "records.csv"}, *YEARS)
    names = ["records", "2023/records", "2024/records"]  # and not somewhere/records
    assert [source.called for source in config.data.sources] == names
    (tmp_path / "config.yaml").write_text(config_as_yaml(config))
    assert load_config(tmp_path / "config.yaml") == config


def test_a_wrong_name_in_eval_sources_is_answered_with_the_nearest() -> None:
    assert settings(*YEARS, scored=["2024/records"]).eval.sources == ("2024/records",)
    with pytest.raises(ConfigError) as caught:
        settings(*YEARS, scored=["2024/records.csv"])
    assert (
        "eval.sources names '2024/records.csv', which is no source. Did you mean '2024/records'?"
        " The names are: 2023/records, 2024/records." in str(caught.value)
    )


@pytest.mark.parametrize("name", ["", " a", "a\nb", "x" * 101])
def test_a_name_is_one_short_line(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        settings({"kind": "table", "table": "records.csv", "name": name})
