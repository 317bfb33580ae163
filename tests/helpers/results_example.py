"""A made-up results file with every block.

The metrics come from a seeded generator and mean nothing; names are those of real findings.
"""

import base64
import itertools
import json
import re
from typing import Any

import jsonschema
import numpy as np
from paths import REPOSITORY

from ecgpipe.evaluate.analyses.registry import ANALYSES
from ecgpipe.evaluate.report.tables import all_tables

SCHEMA = json.loads((REPOSITORY / "docs" / "results.schema.json").read_text(encoding="utf-8"))
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)

FINDINGS = (
    ("1", "正常心電図", "Normal ECG", 64, 0.94),
    ("4", "洞性徐脈", "Sinus bradycardia", 31, 0.97),
    ("37", "第1度房室ブロック", "First-degree AV block", 22, 0.86),
    ("47", "完全右脚ブロック", "Complete right bundle branch block", 19, 0.98),
    ("22", "心室期外収縮", "Premature ventricular complex", 15, 0.93),
    ("78", "陳旧性下壁梗塞", "Inferior myocardial infarction", 14, 0.88),
    ("61", "左室肥大", "Left ventricular hypertrophy", 12, 0.74),
    ("92", "QT延長", "Prolonged QT interval", 11, 0.46),
    ("86", "ST上昇", "ST elevation", 4, 0.81),
    ("44", "完全房室ブロック", "Complete AV block", 0, 0.9),
)
SUPERCLASSES = (
    ("NORM", "正常心電図", "Normal ECG", 82, 0.93),
    ("MI", "心筋梗塞", "Myocardial infarction", 41, 0.85),
    ("STTC", "ST-T変化", "ST/T change", 37, 0.82),
    ("CD", "伝導障害", "Conduction disturbance", 33, 0.88),
    ("HYP", "肥大", "Hypertrophy", 12, 0.71),
)


def check_schema(results: Any) -> None:
    """Raises jsonschema.ValidationError where the results differ from docs/results.schema.json."""
    jsonschema.Draft202012Validator(SCHEMA).validate(results)


def check_words(results: Any) -> None:
    """Check that every word of a table or an analysis exists in Japanese and in English."""
    said = [
        (table.name, words)
        for table in all_tables(results)
        for words in (table.title, *(each.label for each in table.columns))
    ]
    for name, block in results["analyses"].items():
        about = ANALYSES[name].about(block, results["tasks"])
        said += [(name, words) for words in (ANALYSES[name].title, about) if words]
    for name, words in said:
        assert words["ja"].strip(), name
        assert not re.search("[ぁ-ヿ一-鿿]", words["en"]), (name, words)


def example_results() -> Any:
    """The whole file, as `read_results` gives it."""
    rng = np.random.default_rng(0)
    return {
        "format": "ecgpipe-results/3",
        "run": "example-hospital",
        "notice": "",
        "key": "0" * 64,
        "tasks": {
            "findings": _task(rng, FINDINGS, "multi_label", "所見", "Findings", 0.55),
            "superclass": _task(rng, SUPERCLASSES, "single_label", "上位診断", "Superclass", 0.08),
        },
        "tasks_left_out": {"form": "the taxonomy ptbxl lacks its grouping"},
        "analyses_left_out": {"probe": "it learns from the val split"},
        "analyses": {
            "retrieval": _retrieval(),
            "probe": _probe(),
            "neighbours": {
                "k": 20,
                "tasks": {
                    "superclass": {
                        "summary": {"hit@1_micro": _metric(0.7), "macro_auroc": _metric(0.88)},
                        "random_encoder": {"summary": {"macro_auroc": _metric(0.61)}},
                    }
                },
            },
            "robustness": _robustness(),
            "subgroups": _subgroups(),
            "wordings": _wordings(),
            "unseen": _unseen(),
            "echo": _echo(),
            "measurements": _measurements(),
            "text_space": _text_space(),
            "failures": _failures(),
            "map": _map(rng),
            "examples": _examples(),
        },
        "training_log": [
            {"epoch": n, "loss": 3.4 / n**0.4, "val": {"macro_auroc": 0.9 - 0.4 / n}}
            for n in range(1, 31)
        ],
        "data": {
            "planned": 1201, "prepared": 1200, "rejected": 1, "rejected_by_reason": {"flat": 1},
            "notes": {"resampled": 3}, "patients": 1100,
            "splits": {"train": 800, "val": 195, "test": 205},
        },
        "text": {
            "model": "EQUES/MedLLama3-JP-v2", "fingerprint": "f" * 64, "fingerprint_fields": {},
            "width": 4096, "prompt": "この心電図は{text}を示しています。", "distinct": 583,
            "distinct_of_records": 525,
        },
        "training": {
            "run_key": "1" * 64, "epochs": 30, "best_epoch": 22, "best_by": "macro_auroc",
            "val": {"macro_auroc": 0.88},
        },
        "config": {"name": "example-hospital", "text": {"language": "ja"}},
        "provenance": {
            "ecgpipe": "0.2.0", "git_commit": "0" * 40, "created": "2026-11-22T09:00:00+00:00",
            "host": "node", "platform": "Linux", "python": "3.11", "packages": {"torch": "2.13.0"},
            "job": None,
        },
    }  # fmt: skip


def _metric(value: float, half: float = 0.05) -> dict[str, float | None]:
    return {
        "value": round(value, 6),
        "low": round(max(value - half, 0.0), 6),
        "high": round(min(value + half, 1.0), 6),
    }


NOTHING: dict[str, float | None] = {"value": None, "low": None, "high": None}


def _summary(level: float, five: bool) -> dict[str, Any]:
    """`level` is what a model does with the first choice: 0 is chance, 1 is all."""
    values = {
        "hit@1_any": 0.1 + 0.85 * level, "hit@1_micro": 0.08 + 0.8 * level,
        "hit@1_macro": 0.08 + 0.7 * level, "macro_auroc": 0.5 + 0.45 * level,
        "macro_auprc": 0.1 + 0.7 * level, "macro_f1": 0.12 + 0.6 * level,
    }  # fmt: skip
    if five:
        values |= {f"hit@5_{how}": 0.4 + 0.55 * level for how in ("any", "micro", "macro")}
    found = {name: _metric(value) for name, value in values.items()}
    return found | {
        f"{name}_all": _metric(v - 0.03) for name, v in values.items() if "macro" in name
    }


def _task(
    rng: np.random.Generator, rows: Any, kind: str, ja: str, en: str, level: float
) -> dict[str, Any]:
    five = len(rows) > 5
    classes = {row[0]: _class(row, five) for row in rows}
    n = sum(row[3] for row in rows)
    shown = [row[0] for row in rows if row[3] >= 5]
    return {
        "title": {"ja": ja, "en": en},
        "source": "arXiv 2504.09302, table 3",
        "kind": kind,
        "split": "test",
        "n": n,
        "n_left_out": 13,
        "min_positives": 5,
        "language": "ja",
        "ensemble": "mean",
        "classes": classes,
        "summary": _summary(level, five),
        "baselines": {
            "random_encoder": {"models": 5, "summary": _summary(0.02, five)},
            "class_prior": {"records": 800, "summary": _summary(0.09, five)},
            "shuffled_text": {"permutations": 20, "summary": _summary(0.04, five)},
            "shuffled_ecg": {"permutations": 20, "summary": _summary(0.06, five)},
            "blank_ecg": {"answer": rows[0][0], "summary": _summary(0.05, five)},
        },
        "from_members": {
            how: {
                "members": {row[0]: 4 for row in rows},
                "summary": _summary(level - 0.03, five),
                "random_encoder": {"summary": _summary(0.01, five)},
            }
            for how in ("max", "mean", "logsumexp")
        }
        if kind == "single_label"
        else {},
        "adjusted": {"log_prior": {"records": 800, "summary": _summary(level + 0.05, five)}},
        "confusion": _confusion(rng, rows),
        "calibration": _calibration(kind, shown),
        "curves": {class_id: _curves(rng) for class_id in shown},
    }


def _subgroups() -> dict[str, Any]:
    def group(n: int, patients: int, level: float, classes: int) -> dict[str, Any]:
        summary = _summary(level, five=True) if classes else {}
        return {"n": n, "patients": patients, "classes_scored": classes, "summary": summary}

    return {
        task: {
            "sex": {"male": group(104, 98, 0.57, 5), "female": group(101, 96, 0.53, 4)},
            "age": {"65-79": group(97, 90, 0.55, 5), "other": group(108, 104, 0.0, 0)},
        }
        for task in ("findings", "superclass")
    }


def _class(row: Any, five: bool) -> dict[str, Any]:
    _, ja, en, n, auroc = row
    entry = {
        "names": {"ja": ja, "en": en},
        "wordings": [ja, f"{ja}の所見"],
        "n": n,
        "patients": n,
        "n_val": n // 2,
        "prevalence": n / 205,
        "hit@1": _metric(auroc - 0.4, 0.15) if n else None,
        "auroc": _metric(auroc) if n else None,
        "auprc": _metric(auroc - 0.3) if n else None,
        "f1": _metric(auroc - 0.35) if n else None,
        "threshold": 0.21 if n >= 2 else None,
    }
    return entry | ({"hit@5": _metric(min(auroc, 1.0), 0.1) if n else None} if five else {})


def _confusion(rng: np.random.Generator, rows: Any) -> dict[str, Any]:
    counts = []
    for place, row in enumerate(rows):
        chances = np.full(len(rows), 0.35 / max(len(rows) - 1, 1))
        chances[place] = 0.65
        counts.append(rng.multinomial(row[3], chances).tolist())
    return {"n": sum(row[3] for row in rows), "classes": [row[0] for row in rows], "counts": counts}


def _calibration(kind: str, shown: list[str]) -> dict[str, Any]:
    single = kind == "single_label"
    edges = np.linspace(0, 1, 11)
    bins = [
        {
            "low": float(low), "high": float(high), "n": int(4 + 30 * low),
            "confidence": float((low + high) / 2), "share": float((low + high) / 2 * 0.85),
        }
        for low, high in itertools.pairwise(edges)
    ]  # fmt: skip
    return {
        "method": "temperature" if single else "platt",
        "n_val": 195,
        "scale": 12.5 if single else None,
        "sigmoids": {} if single else {c: {"slope": 9.5, "offset": -3.25} for c in shown},
        "ece": _metric(0.06, 0.02),
        "ece_uncalibrated": _metric(0.19, 0.02),
        "bins": bins,
    }


def _curves(rng: np.random.Generator) -> dict[str, Any]:
    power = rng.uniform(0.1, 0.8)
    fpr = np.linspace(0, 1, 101)
    return {
        "roc": {"fpr": fpr.tolist(), "tpr": (fpr**power).tolist()},
        "pr": {"recall": fpr.tolist(), "precision": (1 - 0.8 * fpr ** (1 / power)).tolist()},
    }


def _ranks(level: float) -> dict[str, Any]:
    return {
        "R@1": _metric(level), "R@5": _metric(level + 0.2), "R@10": _metric(level + 0.3),
        "median_rank": 7.0,
    }  # fmt: skip


def _retrieval() -> dict[str, Any]:
    both = {"ecg_to_text": _ranks(0.21), "text_to_ecg": _ranks(0.19)}
    random = {"ecg_to_text": _ranks(0.02), "text_to_ecg": _ranks(0.02)}
    return {"n": 205, "distinct_texts": 121, **both, "random_encoder": random}


def _probe() -> dict[str, Any]:
    shares = {
        share: {
            "n_train": n,
            "classes_scored": 5,
            "macro_auroc": _metric(auroc),
            "macro_auprc": _metric(auroc - 0.2),
            "not_learnt": [],
            "strength": 0.01,
            "random_encoder": {
                "macro_auroc": _metric(auroc - 0.15),
                "macro_auprc": _metric(auroc - 0.3),
            },
        }
        for share, n, auroc in (("0.01", 8, 0.71), ("0.1", 80, 0.82), ("1", 800, 0.9))
    }
    return {
        "protocol": "logistic regression, C by validation",
        "tasks": {"superclass": {"shares": shares}},
    }


def _robustness() -> dict[str, Any]:
    conditions = (
        ("as recorded", "記録のまま", 0.88),
        ("two leads", "2誘導のみ（I、II）", 0.71),
        ("noise 10 dB", "雑音 10 dB", 0.8),
    )
    return {
        "task": "superclass",
        "conditions": [
            {
                "name": name,
                "about": {"ja": ja, "en": name},
                "summary": {"hit@1_micro": _metric(auroc - 0.2), "macro_auroc": _metric(auroc)},
            }
            for name, ja, auroc in conditions
        ],
        "left_out": {},
    }


def _map(rng: np.random.Generator) -> dict[str, Any]:
    centres = rng.normal(size=(len(SUPERCLASSES), 2))
    ecgs = [
        {
            "x": float(x), "y": float(y), "class": row[0] if place % 9 else None,
            "right": bool(place % 3),
        }
        for row, centre in zip(SUPERCLASSES, centres, strict=True)
        for place, (x, y) in enumerate(centre + 0.3 * rng.normal(size=(row[3], 2)))
    ]  # fmt: skip
    texts = [
        {"x": float(x), "y": float(y), "id": row[0]}
        for row, (x, y) in zip(SUPERCLASSES, centres, strict=True)
    ]
    return {
        "method": "PCA",
        "task": "superclass",
        "explained": [0.41, 0.17],
        "ecgs": ecgs,
        "texts": texts,
    }


def _examples() -> dict[str, Any]:
    top = [{"id": row[0], "score": round(0.5 - 0.07 * n, 4)} for n, row in enumerate(FINDINGS[:5])]
    kinds = (("best", ["1"], 1), ("worst", ["92", "61"], 7), ("confidently_wrong", ["37"], 3))
    return {
        "findings": [
            {
                "kind": kind, "record_id": f"{n:05}", "findings": findings, "top": top,
                "rank_of_truth": rank,
            }
            for n, (kind, findings, rank) in enumerate(kinds, 17)
        ]
    }  # fmt: skip


def _text_space() -> dict[str, Any]:
    def pair(one: str, other: str, centred: float) -> dict[str, Any]:
        return {"classes": [one, other], "raw": 0.998, "centred": centred,
                "projected": 0.71, "alike_than": 0.97}  # fmt: skip

    spaces = {"raw": (0.993, 1.01), "centred": (0.06, 8.5), "projected": (0.17, 6.0)}
    return {
        "task": "findings",
        "classes": [row[0] for row in FINDINGS],
        "anisotropy": {
            name: {"mean_cosine": mean, "effective_dimensions": dimensions}
            for name, (mean, dimensions) in spaces.items()
        },
        "nearest": [pair("37", "44", 0.97), pair("86", "92", 0.83)],
        "opposites": [pair("4", "92", 0.91)],
        "similarity": [[1.0] * len(FINDINGS)] * len(FINDINGS),
    }


def _wordings() -> dict[str, Any]:
    def group(name: str, n: int, auroc: float) -> dict[str, Any]:
        return {"group": name, "findings": 6, "wordings": n, "macro_auroc": _metric(auroc),
                "by_name": _metric(0.86), "random_encoder": _metric(0.51),
                "exchanged": _metric(0.6)}  # fmt: skip

    def near(low: float, high: float, auroc: float) -> dict[str, Any]:
        return {"low": low, "high": high, "wordings": 9, "findings": 5,
                "macro_auroc": _metric(auroc), "exchanged": _metric(0.55)}  # fmt: skip

    names = {"ja": "左室肥大", "en": "Left ventricular hypertrophy"}
    return {
        "n": 205,
        "groups": [group("held_out", 18, 0.8), group("ja", 9, 0.81), group("definition", 6, 0.74)],
        "by_distance": {"bins": [near(0.01, 0.2, 0.8), near(0.21, 0.5, 0.6)], "limit": 0.2},
        "wordings": [
            {"finding": "66", "names": names, "language": "ja", "kind": "name",
             "text": "左室肥大", "distance": 0.0, "auroc": _metric(0.9)},
            {"finding": "66", "names": names, "language": "en", "kind": "synonym",
             "text": "LV hypertrophy", "distance": 0.31, "auroc": _metric(0.85)},
        ],
    }  # fmt: skip


def _unseen() -> dict[str, Any]:
    names = {"ja": "心室調律", "en": "Ventricular rhythm"}
    return {
        "n": 205, "own": _metric(0.6), "nearest": _metric(0.55), "difference": _metric(0.05),
        "shuffled_text": _metric(0.52), "shuffled_ecg": _metric(0.5), "trained": _metric(0.86),
        "n_trained": 6,
        "findings": [
            {"finding": "50", "names": names, "n": 9, "auroc": _metric(0.6), "nearest": "18",
             "nearest_names": {"ja": "洞調律", "en": "Sinus rhythm"}, "cosine": 0.7,
             "by_nearest": _metric(0.55)},
        ],
    }  # fmt: skip


def _echo() -> dict[str, Any]:
    def told(score: str, ja: str, en: str, auroc: float, limit: str | None = None) -> Any:
        yes = score == "ecg_label" or limit is not None
        return {
            "score": score, "names": {"ja": ja, "en": en}, "criterion": limit,
            "auroc": _metric(auroc),
            "model_minus_it": None if score == "model" else _metric(0.78 - auroc),
            "sensitivity": _metric(0.2) if yes else None,
            "specificity": _metric(0.95) if yes else None,
        }  # fmt: skip

    scores = [
        told("model", "モデル", "Model", 0.78),
        told("ecg_label", "心電図のラベル", "The ECG's label", 0.58),
        told("cornell_mv", "Cornell電位", "Cornell voltage", 0.66, "RaVL + SV3 > 2.8 mV (men)"),
    ]
    names = {"ja": "左室肥大", "en": "Hypertrophy by mass"}
    entry = {"class": "LVH_MASS", "names": names, "n_known": 88, "n": 21, "scores": scores}
    return {"findings": [entry]}


def _measurements() -> dict[str, Any]:
    return {
        "task": "findings",
        "library": "neurokit2, prominence",
        "n": 205,
        "n_tried": 200,
        "quantities": {
            "qtc_ms": {"ja": "QTc", "en": "QTc", "unit": "ms", "n": 190, "p5": 380.2,
                       "median": 412.0, "p95": 470.1},
        },
        "findings": [
            {
                "class": "92", "names": {"ja": "QT延長", "en": "Prolonged QT interval"},
                "quantity": "qtc_ms", "side": "high", "criterion": "> 450 ms", "n": 190,
                "n_positive": 11, "model_auroc": _metric(0.46), "ruler_auroc": _metric(0.93),
                "correlation": _metric(0.08), "median_positive": 471.3, "median_negative": 410.0,
            }
        ],
    }  # fmt: skip


def _failures() -> dict[str, Any]:
    return {
        "findings": {
            "taken_for": [
                {"shown": "61", "taken_for": "1", "n": 9, "rate": _metric(0.67),
                 "text_cosine": 0.21},
            ],
            "text_correlation": {"value": 0.12, "p": 0.31, "pairs": 70},
            "by_coarse_class": [
                {"class": "HYP", "n": 5, "any_hit": _metric(0.4), "median_rank": 2.5,
                 "first_guess": {"HYP": 3, "none": 2}},
            ],
        },
        "superclass": {
            "taken_for": [],
            "text_correlation": {"value": None, "p": None, "pairs": 0},
            "by_coarse_class": [],
        },
    }  # fmt: skip
