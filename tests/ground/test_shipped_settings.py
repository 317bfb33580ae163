"""The two files that `init` writes differ only in the language of what is said about settings."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ecgpipe.commands.main import main
from ecgpipe.config.cluster import ClusterConfig
from ecgpipe.config.file import load_cluster, load_config
from ecgpipe.config.pipeline import PipelineConfig

SHIPPED = {"en": Path("pipeline.yaml"), "ja": Path("ecgpipe/pipeline.ja.yaml")}
# A setting that is shown but not set: # - kind: table, or # queue: gpu.
SHOWN = re.compile(r"\s*# +(- )?[a-z_]+:( |$)|# cluster:$")


def lines(language: str) -> list[tuple[str, str]]:
    """Of each line the setting, set or only shown, and what is said about it."""
    found = []
    for line in SHIPPED[language].read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("#") and not SHOWN.match(line):
            found.append(("", line.strip()))
        else:
            # The first # of a setting that is only shown is a mark, and begins no remark.
            setting, _, said = re.sub(r"^(\s*)# ", r"\1-", line).partition(" # ")
            found.append((setting.rstrip(), said))
    return found


def test_both_files_have_the_same_settings_at_the_same_lines() -> None:
    english, japanese = lines("en"), lines("ja")
    assert [setting for setting, _ in english] == [setting for setting, _ in japanese]
    assert [bool(said) for _, said in english] == [bool(said) for _, said in japanese]


def test_everything_that_is_said_is_said_in_japanese() -> None:
    for (_, english), (setting, japanese) in zip(lines("en"), lines("ja"), strict=True):
        if re.search("[\u3040-\u30ff\u4e00-\u9fff]", japanese) is None:
            # Values alone, such as clip | siglip, need no translation.
            assert japanese == english, setting
            assert all(" " not in part for part in english.lstrip("# ").split(" | ")), english


def opened(language: str, folder: Path) -> tuple[PipelineConfig, ClusterConfig]:
    """What the file means where every block that it only shows is set, too."""
    text = SHIPPED[language].read_text(encoding="utf-8")
    head, cluster = text[: text.index("# cluster:")], text[text.index("# cluster:") :]
    head = re.sub(r"^    # (- kind|  [a-z_]+:)", r"    \1", head, flags=re.MULTILINE)
    head = re.sub(r"^  # ([a-z_]+:|  [a-z_]+:)", r"  \1", head, flags=re.MULTILINE)
    head = head.replace("min_leads: 12", "min_leads: 2").replace(
        "source: findings", "source: report"
    )
    path = folder / "pipeline.yaml"
    path.write_text(head + re.sub("^# ", "", cluster, flags=re.MULTILINE), encoding="utf-8")
    return load_config(path), load_cluster(path)


def test_both_files_mean_the_same_whatever_is_uncommented(tmp_path: Path) -> None:
    english, japanese = opened("en", tmp_path), opened("ja", tmp_path)
    assert english == japanese
    assert len(english[0].data.sources) == 6
    assert english[1].scheduler == "slurm"


@pytest.mark.parametrize("language", SHIPPED)
def test_init_writes_the_file_of_the_language_that_is_asked_for(
    language: str, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    result = CliRunner().invoke(main, ["init", "--language", language, str(own)])
    assert result.exit_code == 0, result.stderr
    assert own.read_bytes() == SHIPPED[language].read_bytes()
    assert load_config(own).name == "ptbxl-medllama3"


@pytest.mark.parametrize(
    ("variables", "arguments", "language"),
    [
        ({"ECGPIPE_LANG": "ja"}, [], "ja"),
        ({"ECGPIPE_LANG": "", "LC_ALL": "ja_JP.UTF-8"}, [], "ja"),
        ({"ECGPIPE_LANG": "en", "LC_ALL": "ja_JP.UTF-8"}, [], "en"),
        ({"ECGPIPE_LANG": "ja"}, ["--language", "en"], "en"),
    ],
)
def test_without_a_word_about_it_the_comments_are_in_the_readers_language(
    variables: dict[str, str], arguments: list[str], language: str, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    result = CliRunner(env=variables).invoke(main, ["init", str(own), *arguments])
    assert result.exit_code == 0, result.stderr
    assert own.read_bytes() == SHIPPED[language].read_bytes()
