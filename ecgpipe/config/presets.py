"""Named sets of training settings.

Owns what each preset sets; a setting in pipeline.yaml wins over its preset."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ecgpipe.config.data import DataConfig
from ecgpipe.config.text import TextConfig
from ecgpipe.config.train import TrainConfig

PRESETS: dict[str, dict[str, Any]] = {
    # arXiv 2504.09302 section 3; what the paper leaves open is decided in docs/decisions.md.
    "paper": {
        "encoder": "resnet1d18",
        "text": "sentence",
        "projection_dim": 128,
        "temperature": 0.07,
        "learn_temperature": True,
        "loss": "clip",
        "epochs": 200,
        "global_batch_size": 32,
        "lr": 1e-3,
        "weight_decay": 1e-3,
    },
    # The best on validation records (docs/lab-log.md): each finding's own prompt, present or not,
    # instead of one sentence of all findings.
    "recommended": {
        "beat_intervals": True,
        "text": "all_findings",
        "loss": "siglip",
        "schedule": "cosine",
        "epochs": 50,
        "augment": {
            "shift_s": 0.5,
            "amplitude": 0.1,
            "wander_mv": 0.05,
            "noise_mv": 0.02,
            "drop_lead": 0.1,
        },
    },
}


# Nearly every report is a different text, so a step compares one per record, not all of them.
RECOMMENDED_FOR_REPORTS = {"text": "sampled_finding", "loss": "clip", "duplicates": "mask"}


# Other words for each finding, the axes without which they make a model worse, and all that the
# language model says of a text, in which these axes are found.
RECOMMENDED_FOR_BANK = {"text_axes": 64}
RECOMMENDED_TEXT_FOR_BANK = {"pooling": "joined"}

_TEXT_OF_PRESETS = {"wordings": TextConfig.wordings, "pooling": TextConfig.pooling}
"""Settings of `text` that a preset may set, and what they are otherwise."""

WITH_BANK = ("findings98", "ptbxl")
"""The taxonomies that ship with a bank of wordings."""

DEFAULT_PRESET = "recommended"


def with_preset(settings: dict[str, Any]) -> dict[str, Any]:
    """Fill in the preset's values where the file sets nothing: in `train`, text.wordings and
    text.pooling."""
    train, text = settings.get("train", {}), settings.get("text")
    preset = train.get("preset", DEFAULT_PRESET) if isinstance(train, dict) else None
    if not isinstance(preset, str) or preset not in PRESETS:
        return settings  # the type check reports the mistake
    values = PRESETS[preset] | {"preset": preset}
    if preset == "recommended" and isinstance(text, dict) and _reads_reports(text):
        values |= RECOMMENDED_FOR_REPORTS
    filled = settings | {"train": merged(values, train)}
    return _with_bank(filled) if preset == "recommended" else filled


def _with_bank(settings: dict[str, Any]) -> dict[str, Any]:
    """Train on the bank of a taxonomy that ships with one, unless the file says otherwise."""
    train, text, data = settings["train"], settings.get("text"), settings.get("data")
    if not isinstance(text, dict) or not isinstance(data, dict):
        return settings  # the type check reports the mistake
    compares_findings = train["text"] == "all_findings" and not _reads_reports(text)
    if compares_findings and data.get("taxonomy", DataConfig.taxonomy) in WITH_BANK:
        text = {"wordings": "bank"} | text
    if compares_findings and text.get("wordings") == "bank":
        train = RECOMMENDED_FOR_BANK | train
        if "layer" not in text:
            text = RECOMMENDED_TEXT_FOR_BANK | text
    return settings | {"train": train, "text": text}


def _reads_reports(text: Mapping[str, Any]) -> bool:
    return text.get("source") in ("report", "echo_report")


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` wins, key by key: setting train.augment.noise_mv keeps the preset's shift_s."""
    both = {**under, **over}
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            both[key] = merged(under[key], value)
    return both


def kept_over_preset(
    own: dict[str, Any], changed: dict[str, Any], named: Collection[str]
) -> tuple[list[str], bool]:
    """The file's own values that differ from those of a preset named on the command line.

    Args:
        own: the file's settings.
        changed: the same with the command line's.
        named: dotted names of the command line's settings.

    Returns:
        Their dotted names, of settings that presets set; and whether the preset changes nothing.
    """
    text, data = changed.get("text") or {}, changed.get("data")
    free = {key: value for key, value in text.items() if key not in _TEXT_OF_PRESETS}
    preset = {"preset": changed["train"]["preset"]}
    wanted = _values({"train": preset, "text": free, "data": data})
    present = {f"train.{key}": value for key, value in _leaves(own.get("train") or {})}
    present |= {f"text.{key}": value for key, value in _leaves(own.get("text") or {})}
    alike = {key for key in present if key not in wanted or present[key] == wanted[key]}
    stand = [key for key in present if key not in alike and key in _of_presets()]
    kept = [key for key in stand if key not in named]
    before, after = _values(own), _values(changed)
    moved = {key for key in after if after[key] != before[key]} - {"train.preset"}
    return kept, all(key in named for key in moved)


def _of_presets() -> set[str]:
    """Dotted names of the settings that some preset sets, with those below the same block."""
    every = [*PRESETS.values(), RECOMMENDED_FOR_REPORTS, RECOMMENDED_FOR_BANK]
    blocks = {key for values in every for key in values}
    of_train = {key for key, _ in _leaves(asdict(TrainConfig())) if key.partition(".")[0] in blocks}
    return {f"train.{key}" for key in of_train} | {f"text.{key}" for key in _TEXT_OF_PRESETS}


def _values(settings: dict[str, Any]) -> dict[str, Any]:
    """What a preset may set, by its dotted name, the defaults included."""
    filled = with_preset(settings)
    train = merged(asdict(TrainConfig()), filled.get("train") or {})
    text = filled.get("text") or {}
    of_text = {f"text.{key}": text.get(key, value) for key, value in _TEXT_OF_PRESETS.items()}
    return {f"train.{key}": value for key, value in _leaves(train)} | of_text


def _leaves(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield before + key, value
