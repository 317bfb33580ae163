"""Named sets of training settings.

Owns what each preset sets; a setting in pipeline.yaml wins over its preset."""

from typing import Any

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


DEFAULT_PRESET = "recommended"
