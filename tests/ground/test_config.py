"""pipeline.yaml: read into settings, or refused with the way out."""

import dataclasses
import itertools
import os
import re
from pathlib import Path

import pytest
import yaml
from paths import REPOSITORY

from ecgpipe.config.data import PtbxlSource, TableSource
from ecgpipe.config.echo import EchoConfig
from ecgpipe.config.file import (
    config_as_yaml,
    load_config,
    parse_config,
    tell_kept_over_preset,
)
from ecgpipe.config.pipeline import PipelineConfig
from ecgpipe.config.places import without_places
from ecgpipe.config.presets import PRESETS, WITH_BANK
from ecgpipe.config.train import TrainConfig
from ecgpipe.errors import ConfigError

SMALL = """
name: small
data:
  sources:
    - {kind: table, table: records.csv}
text:
  model: org/model
"""


def load(tmp_path: Path, text: str = SMALL, *overrides: str) -> PipelineConfig:
    (tmp_path / "pipeline.yaml").write_text(text)
    return load_config(tmp_path / "pipeline.yaml", overrides)


def refusal(tmp_path: Path, text: str = SMALL, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, *overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_shipped_experiment_is_the_papers() -> None:
    config = load_config(Path("pipeline.yaml"))
    assert config.text.model == "EQUES/MedLLama3-JP-v2"
    assert len(config.text.revision or "") == 40
    assert config.text.prompt == "この心電図は{text}を示しています。"
    assert (config.data.rate_hz, config.data.samples) == (500, 5000)
    train = config.train
    assert (train.encoder, train.loss, train.text) == ("resnet1d18", "clip", "sentence")
    assert (train.lr, train.weight_decay, train.temperature) == (1e-3, 1e-3, 0.07)
    assert (train.global_batch_size, train.epochs) == (32, 200)


def test_the_shipped_file_shows_every_setting_with_its_default() -> None:
    shown = yaml.safe_load(shipped_without_marks())
    config = load_config(Path("pipeline.yaml"))
    for block in ("data", "text", "train", "eval"):
        known = {item.name for item in dataclasses.fields(getattr(config, block))}
        assert set(shown[block]) == known - {"echo"}  # only shown, see the next test
    source = config.data.sources[0]
    assert set(shown["data"]["sources"][0]) == {item.name for item in dataclasses.fields(source)}
    # What is left out has the value shown, but for what names this experiment.
    sparse = {
        "name": shown["name"],
        "data": {"sources": [{"kind": "ptbxl", "root": shown["data"]["sources"][0]["root"]}]},
        "text": {key: shown["text"][key] for key in ("model", "revision")},
        "train": {"preset": "paper"},
    }
    assert parse_config(sparse, Path.cwd(), "sparse") == config


def test_the_shipped_file_shows_every_setting_of_echo_with_its_default() -> None:
    lines = Path("pipeline.yaml").read_text().splitlines()
    start = lines.index("  # echo:") + 1
    block = itertools.takewhile(lambda line: line.startswith("  #   "), lines[start:])
    shown = yaml.safe_load("\n".join(line.removeprefix("  # ") for line in block))
    assert set(shown) == {item.name for item in dataclasses.fields(EchoConfig)}
    table = Path(shown.pop("table"))
    assert EchoConfig(table=table, **shown) == EchoConfig(table=table)


def shipped_without_marks() -> str:
    """The shipped file with the settings of `train` that stand as comments as settings."""
    text = Path("pipeline.yaml").read_text()
    start, end = text.index("\ntext:"), text.index("\neval:")
    return text[:start] + re.sub(r"(?m)^  # ", "  ", text[start:end]) + text[end:]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_changes_the_shipped_file(preset: str, tmp_path: Path) -> None:
    """Nothing that a preset sets is written out, and what stands as a comment is the paper's."""
    config = load(tmp_path, Path("pipeline.yaml").read_text(), f"train.preset={preset}")
    plain = load(tmp_path, SMALL, f"train.preset={preset}")
    assert config.train == plain.train
    for setting in ("wordings", "pooling", "layer"):
        assert getattr(config.text, setting) == getattr(plain.text, setting)
    spelled_out = load(tmp_path, shipped_without_marks())
    assert spelled_out.train == load(tmp_path, SMALL, "train.preset=paper").train


def told(tmp_path: Path, train: str, *overrides: str) -> str:
    load(tmp_path, SMALL + train, *overrides)
    return tell_kept_over_preset(tmp_path / "pipeline.yaml", overrides)


def test_a_preset_that_the_files_own_values_undo_is_told(tmp_path: Path) -> None:
    line = told(tmp_path, shipped_without_marks().split("\n\n")[-3], "train.preset=recommended")
    assert line.startswith("train.preset=recommended changes nothing, because pipeline.yaml's own")
    assert "stay: train.beat_intervals, train.text, train.text_axes, train.loss," in line


def test_of_a_preset_that_changes_something_the_values_that_stay_are_named(tmp_path: Path) -> None:
    own = "train: {preset: recommended, epochs: 3, lr: 0.001, seed: 7, augment: {noise_mv: 0.3}}\n"
    line = told(tmp_path, own, "train.preset=paper")
    assert "does not change everything: pipeline.yaml's own values stay" in line
    # Not lr, which is the preset's too, and not the seed, which is no preset's.
    assert "stay: train.epochs, train.augment.noise_mv. Put a #" in line
    assert "stay: train.augment.noise_mv." in told(
        tmp_path, own, "train.preset=paper", "train.epochs=4"
    )


def test_a_files_own_wordings_are_told_when_they_stand_against_a_preset(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(SMALL.replace("text:", "text:\n  wordings: name"))
    line = tell_kept_over_preset(tmp_path / "pipeline.yaml", ("train.preset=recommended",))
    assert "stay: text.wordings. Put a #" in line


def test_a_files_own_pooling_is_told_when_it_stands_against_a_preset(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(SMALL.replace("text:", "text:\n  pooling: mean"))
    line = tell_kept_over_preset(tmp_path / "pipeline.yaml", ("train.preset=recommended",))
    assert "stay: text.pooling. Put a #" in line


def test_the_shipped_file_takes_all_of_the_recommended_preset(tmp_path: Path) -> None:
    """Nothing in it stands against how texts are recommended to be read, and nothing is told."""
    path, overrides = tmp_path / "pipeline.yaml", ("train.preset=recommended",)
    config = load(tmp_path, Path("pipeline.yaml").read_text(), *overrides)
    assert (config.text.pooling, config.text.wordings) == ("joined", "bank")
    assert config.train.beat_intervals
    assert tell_kept_over_preset(path, overrides) == ""


def test_nothing_is_told_of_a_preset_that_holds(tmp_path: Path) -> None:
    assert told(tmp_path, "", "train.preset=paper") == ""
    assert told(tmp_path, "train: {preset: paper, seed: 3}\n", "train.preset=recommended") == ""
    assert told(tmp_path, "train: {preset: paper, loss: siglip}\n", "train.epochs=3") == ""
    assert told(tmp_path, "train: null\n", "train.preset=paper") == ""


def test_every_example_is_valid() -> None:
    examples = sorted(Path("examples").rglob("pipeline.yaml"))
    assert len(examples) >= 3
    for path in examples:
        load_config(path)


def test_the_papers_preset_is_the_papers(tmp_path: Path) -> None:
    config = load(tmp_path, SMALL + "train: {preset: paper}\n")
    assert config.train == TrainConfig(**PRESETS["paper"])


def test_a_minimal_file_gets_what_is_recommended(tmp_path: Path) -> None:
    train = load(tmp_path).train
    assert (train.preset, train.text, train.loss) == ("recommended", "all_findings", "siglip")
    assert train.augment.shift_s == 0.5
    # A report has sentences of its own: all of all records cannot be compared in a step.
    reports = load(tmp_path, SMALL, "text.source=report").train
    assert (reports.text, reports.loss, reports.duplicates) == ("sampled_finding", "clip", "mask")
    assert reports.augment.shift_s == 0.5
    of_echos = ("text.source=echo_report", "data.echo={table: echo.csv}")
    assert load(tmp_path, SMALL, *of_echos).train == reports


def test_reports_of_echocardiograms_without_a_table_of_them_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"names no table of them\. Set data\.echo\.table"):
        load(tmp_path, SMALL, "text.source=echo_report")


def test_findings_are_worded_by_a_bank_where_their_taxonomy_ships_with_one(tmp_path: Path) -> None:
    def of(*overrides: str) -> tuple[str, int]:
        config = load(tmp_path, SMALL, *overrides)
        return config.text.wordings, config.train.text_axes

    shipped = {path.stem for path in (REPOSITORY / "evaluate" / "wordings").iterdir()}
    assert shipped == set(WITH_BANK)
    assert of() == of("data.taxonomy=findings98") == ("bank", 64)
    assert of("data.taxonomy=csn") == of("text.wordings=name") == ("name", 0)
    assert of("data.taxonomy=csn", "text.wordings=bank") == ("bank", 64)
    for other in ("text.source=report", "train.text=sampled_finding", "train.preset=paper"):
        assert of(other) == ("name", 0)
    assert of("text.source=echo_report", "data.echo={table: echo.csv}") == ("name", 0)
    assert of("train.text_axes=8") == ("bank", 8)


def test_texts_are_read_at_several_layers_where_a_bank_words_them(tmp_path: Path) -> None:
    """What a file says of pooling or layer stands; without a bank there are no axes to find."""

    def of(*overrides: str) -> tuple[str, int]:
        text = load(tmp_path, SMALL, *overrides).text
        return text.pooling, text.layer

    assert of() == of("data.taxonomy=csn", "text.wordings=bank") == ("joined", -1)
    for pooling in ("last_token", "mean"):
        assert of(f"text.pooling={pooling}") == (pooling, -1)
    assert of("text.layer=8") == ("last_token", 8)
    assert of("text.layer=-1") == ("last_token", -1)
    assert of("text.layer=8", "text.pooling=mean") == ("mean", 8)
    for other in (
        "text.wordings=name",
        "data.taxonomy=csn",
        "text.source=report",
        "train.text=sampled_finding",
        "train.preset=paper",
    ):
        assert of(other) == ("last_token", -1), other


def test_joined_reads_layers_of_its_own(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL, "text.pooling=joined").text.pooling == "joined"
    assert "joined reads layers of its own; leave out layer: 8" in refusal(
        tmp_path, SMALL, "text.layer=8", "text.pooling=joined"
    )
    assert "joined reads layers of its own; leave out layer: 3" in refusal(
        tmp_path, SMALL, "text.views=[{layer: 3, pooling: joined}]"
    )


def test_one_setting_of_a_block_keeps_the_presets_others(tmp_path: Path) -> None:
    augment = load(tmp_path, SMALL, "train.augment.noise_mv=0").train.augment
    assert (augment.noise_mv, augment.shift_s) == (0, 0.5)


@pytest.mark.parametrize("model", ["./lama", "models/lama", "models/lama.gguf", "lama.gguf"])
def test_a_misspelt_model_path_is_no_hub_id(model: str, tmp_path: Path) -> None:
    """A hub id would be told as "would be downloaded", and be refused only after prepare."""
    (tmp_path / "models").mkdir()
    assert load(tmp_path, SMALL, f"text.model={model}").text.model == str(tmp_path / model)
    for other in ("org/model", "package:models/lama.gguf", "imported:lama.gguf"):
        assert load(tmp_path, SMALL, f"text.model={other}").text.model == other


def test_what_is_set_wins_over_the_preset(tmp_path: Path) -> None:
    config = load(tmp_path, SMALL + "train: {preset: paper, epochs: 3}\n")
    assert (config.train.epochs, config.train.lr) == (3, 1e-3)


def test_resolved_settings_read_back_to_themselves(tmp_path: Path) -> None:
    config = load(tmp_path, SMALL, "train.epochs=7", "data.split.fractions=[0.5, 0.25, 0.25]")
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "config.yaml"
    path.write_text(config_as_yaml(config))
    assert load_config(path) == config


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load(tmp_path)
    source = config.data.sources[0]
    assert isinstance(source, TableSource)
    assert source.table == tmp_path / "records.csv"
    assert config.work_dir == tmp_path / "work"
    assert load(tmp_path, SMALL, "work_dir=../w").work_dir == tmp_path.parent / "w"


def test_a_local_model_folder_becomes_absolute_and_a_hub_id_stays(tmp_path: Path) -> None:
    (tmp_path / "models" / "llama").mkdir(parents=True)
    config = load(tmp_path, SMALL, "text.model=models/llama")
    assert config.text.model == str(tmp_path / "models" / "llama")
    assert load(tmp_path).text.model == "org/model"


def test_own_lists_and_tasks_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, SMALL, "data.taxonomy=lists/own.csv", "eval.tasks=[findings, own.yaml]")
    assert config.data.taxonomy == str(tmp_path / "lists" / "own.csv")
    assert config.eval.tasks == ("findings", str(tmp_path / "own.yaml"))


def test_overrides_reach_lists_and_missing_blocks(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        SMALL,
        "data.sources.0={kind: ptbxl, root: p}",
        "data.sources.0.files=records100",
        "eval.bootstrap_draws=200",
        "train.lr=1e-4",
    )
    source = config.data.sources[0]
    assert isinstance(source, PtbxlSource)
    assert source.files == "records100"
    assert (config.eval.bootstrap_draws, config.train.lr) == (200, 1e-4)


def test_variables_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECG_SCRATCH", "/scratch/me")
    text = SMALL + "work_dir: ${ECG_SCRATCH}/w\nnotice: ${ECG_UNSET:-none}\n"
    config = load(tmp_path, text)
    assert (config.work_dir, config.notice) == (Path("/scratch/me/w"), "none")
    monkeypatch.delenv("ECG_SCRATCH")
    assert "${ECG_SCRATCH}, but that environment variable is not set" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "train.epoch is not a setting. Did you mean train.epochs?"),
        ("trian.epochs=3", "trian is not a setting. Did you mean train?"),
        ("data.rate=100", "data.rate is not a setting. Did you mean data.rate_hz?"),
        ("lr=1", "lr is not a setting. Did you mean train.lr?"),
        (
            "data.sources.0.rot=x",
            "data.sources.0.rot is not a setting. Did you mean data.sources.0.root?",
        ),
        (
            "data.sources.0.split_column=x",
            "is not a setting. Did you mean data.sources.0.columns?",
        ),
        ("data.sources.0.columns={Age: x}", "Did you mean data.sources.0.columns.age?"),
        ("data.sources.0.kind=mimic", "kind is 'mimic'; 'ptbxl', 'table', 'cinc2021', 'mitbih',"),
        ("data.sources=[{table: x}]", "data.sources.0.kind is missing"),
        ("data.sources=[]", "data.sources is []: tuple should have at least 1 item"),
        ("data.sources.3.root=x", "'3' is not an index of a list of 1"),
        ("name.x=3", "name is a value, so it has no settings below it"),
        ("train.epochs=many", "train.epochs is 'many': input should be a valid integer"),
        ("train.epochs=true", "train.epochs is True: input should be a valid integer"),
        ("train.epochs=2.5", "train.epochs is 2.5: input should be a valid integer"),
        ("train.epochs=0", "train: epochs must be at least 1, not 0"),
        ("train.lr=-1", "train: lr must be above 0"),
        ("train.loss=cilp", "train.loss is 'cilp': input should be 'clip'"),
        ("train.preset=papr", "train.preset is 'papr': input should be 'paper' or 'recommended'"),
        ("train=3", "train must hold settings"),
        ("text.prompt=no place", "prompt must contain {text} exactly once"),
        ("data.duration_s=0.3331", "must be a whole number"),
        ("data.split.fractions=[0.5, 0.6, 0.1]", "fractions must sum to 1"),
        ("name=../x", "name must be a plain folder name"),
        ("train.epochs", "write it as key=value"),
        ("train.epochs=[", "the value is not YAML"),
        ("train.seed=-1", "seed must be 0 or a positive number"),
        ("eval.seed=99999999999999999999999", "eval.seed is 99999999999999999999999"),
        ("train.lr=.inf", "train.lr is inf"),
        ("data.min_duration_s=.nan", "data.min_duration_s is nan"),
        (
            "data.min_duration_s=-4",
            "data.min_duration_s is -4: input should be greater than or equal to 0",
        ),
        ("train.temperature=5", "temperature must be from 0.01 to 1"),
        ("train.preset=[1]", "train.preset is [1]"),
        ("work_dir=~nosuchuser/x", "The path ~nosuchuser/x cannot be resolved"),
        ('work_dir="a\\0b"', "contains a character that is not text"),
        ('name="\\ud800"', "contains a character that is not text"),
        ("name=" + "x" * 300, "name must be at most 200 bytes long"),
        ("notice=2001-99-99", "the value is not YAML"),
        ("data.split={2001-01-01: 3}", "is not text"),
        ("text.model=", "text.model is None"),
        ('text.model=""', "model must not be empty"),
    ],
)
def test_a_mistake_names_its_place_and_what_to_do(
    tmp_path: Path, override: str, message: str
) -> None:
    assert message in refusal(tmp_path, SMALL, override)


def test_a_mistake_inside_a_list_is_not_also_told_of_the_list(tmp_path: Path) -> None:
    assert refusal(tmp_path, SMALL, "data.sources.0.rot=x").count("\n") == 1
    assert "at least 1 item" in refusal(tmp_path, SMALL, "data.sources=[]", "train.epoch=3")


def test_all_mistakes_are_reported_together(tmp_path: Path) -> None:
    message = refusal(tmp_path, SMALL, "train.epoch=3", "data.rate=1", "eval.tasks=3")
    assert "has 3 mistakes" in message
    assert message.count("\n") == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "is not valid YAML"),
        ("- a\n- b\n", "has no settings"),
        ("", "has no settings"),
        ("name: a\nname: b\n", "the key 'name' is written twice"),
        ("name: a\n", "data is missing"),
        ("name: " + "[" * 3000, "is not valid YAML"),
    ],
)
def test_a_file_without_an_experiment_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\ndata:\n\tsources: []\n", "line 3 is indented with a tab"),
        ("name: a\ntrain:\n  epochs：5\n  lr: 0.1\n", "line 3 has a full-width colon"),
        ("name：a\n", "line 1 has a full-width colon"),
        ("name: a\ntrain:\n  epochs: 5\n\u3000\u3000lr: 0.1\n", "It has a full-width space"),
        ("name: a\ndata:\n  sources:\n  － kind: table\n", "It begins with a full-width dash"),
        (SMALL + "train:\n  epochs：5\n", "not 'epochs：5'. It has a full-width colon"),
        (SMALL + "train: {epochs: ２００}\n", "It is in full-width characters: write 200."),
    ],
)
def test_tabs_and_full_width_characters_are_told_in_plain_words(
    tmp_path: Path, text: str, message: str
) -> None:
    assert message in refusal(tmp_path, text)


def test_full_width_characters_where_they_belong_are_not_spoken_of(tmp_path: Path) -> None:
    text = SMALL + "notice: 模擬：\u3000試験\n"
    assert load(tmp_path, text).notice == "模擬：\u3000試験"
    assert "full-width" not in refusal(tmp_path, text + "train: [\n")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="write one with `ecgpipe init`"):
        load_config(tmp_path / "none.yaml")


def test_home_is_expanded(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL, "work_dir=~/w").work_dir == Path(os.path.expanduser("~/w"))


def test_yaml_merge_keys_work_and_may_be_overridden(tmp_path: Path) -> None:
    text = SMALL + "train: &t {epochs: 3, lr: 0.5}\n"
    merged = load(tmp_path, text.replace("train: &t {", "train: {<<: {epochs: 9, seed: 4}, "))
    assert (merged.train.epochs, merged.train.seed) == (3, 4)


def test_a_file_in_another_encoding_says_so(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_bytes((SMALL + "notice: 模擬心電図\n").encode("cp932"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_config(path)


def test_settings_without_places_keep_all_but_where_things_lie() -> None:
    settings = {
        "work_dir": "/a/work",
        "data": {
            "sources": [
                {"kind": "table", "table": "/a/records.csv", "root": "/a/ecg"},
                {"kind": "ptbxl", "root": "/b/ptbxl", "files": "records100"},
            ],
            "taxonomy": "/a/own.csv",
        },
        "text": {"model": "org/model", "prompt": "/a/{text}"},
        "eval": {"tasks": ["findings", "/a/mine.yaml"]},
    }
    assert without_places(settings) == {
        "data": {
            "sources": [
                {"kind": "table", "table": "records.csv"},
                {"kind": "ptbxl", "files": "records100"},
            ],
            "taxonomy": "own.csv",
        },
        "text": {"model": "org/model", "prompt": "/a/{text}"},
        "eval": {"tasks": ["findings", "mine.yaml"]},
    }
