"""A map of the joint embedding space: ECGs and class wordings in two dimensions.

Owns the projection and its chart. ECGs and texts are each centred on their own mean before both are
decomposed together: they occupy separate cones of the space, and the first component would show
nothing but that gap. N = ECGs, C = classes, D = width.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.drawing.plot import MARKS, Axis, Label, Plot, Points, Series
from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.results import Tasks
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.table import Table, column
from ecgpipe.evaluate.words import Words, both, class_names, in_both

Vectors = npt.NDArray[np.float32]

MOST_ECGS = 2000
_MOST_LABELS = 24
METHOD = "principal components (SVD) of ECG and text vectors, each side centred on its own mean"


def mapped_records(scored: ScoredTask, seed: int, most: int = MOST_ECGS) -> npt.NDArray[np.int64]:
    """The records of the split to map: all that the task scores, or a random part of them."""
    places = np.flatnonzero(scored.chosen_N)
    if len(places) > most:
        places = np.sort(np.random.default_rng(seed).choice(places, most, replace=False))
    return places


def embedding_map(
    ecg_ND: Vectors, text_CD: Vectors, scored: ScoredTask, records: Sequence[int]
) -> dict[str, Any]:
    """ECGs and class wordings in two dimensions, ready for the results file.

    Args:
        ecg_ND: unit vectors of the mapped ECGs.
        text_CD: unit vectors of the task's classes.
        scored: the task as the model scored it; its scores say which text is nearest.
        records: (N,) the place of each mapped ECG in the split.

    Returns:
        The block `map`: an ECG's class is its only one, or None where it shows several.
    """
    ids = [c.id for c in scored.task.classes]
    ecgs = ecg_ND.astype(np.float64) - ecg_ND.mean(axis=0, dtype=np.float64)
    texts = text_CD.astype(np.float64) - text_CD.mean(axis=0, dtype=np.float64)
    # Both sides weigh the same, or the many ECGs alone would decide the axes.
    both = np.concatenate([ecgs / np.sqrt(len(ecgs)), texts / np.sqrt(len(texts))])
    _, sizes, axes = np.linalg.svd(both, full_matrices=False)
    axes = _turned(axes[:2])
    variance = sizes**2 / max(float((sizes**2).sum()), 1e-30)
    explained = [float(share) for share in variance[:2]]
    flat_ecgs, flat_texts = ecgs @ axes.T, texts @ axes.T
    # The two clouds differ in size, so each is drawn at its own scale.
    flat_texts *= _spread(flat_ecgs) / max(_spread(flat_texts), 1e-12)
    nearest = scored.scores_NC[records].argmax(axis=1)
    truth = scored.truth_NC[records]
    return {
        "method": METHOD + "; the texts are drawn at the ECGs' scale",
        "task": scored.task.name,
        "explained": explained,
        "ecgs": [
            {
                "x": round(float(x), 5),
                "y": round(float(y), 5),
                "class": ids[int(shown.argmax())] if shown.sum() == 1 else None,
                "right": bool(shown[near]),
            }
            for (x, y), shown, near in zip(flat_ecgs, truth, nearest, strict=True)
        ],
        "texts": [
            {"x": round(float(x), 5), "y": round(float(y), 5), "id": class_id}
            for (x, y), class_id in zip(flat_texts, ids, strict=True)
        ],
    }


def _turned(axes_2D: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Components have no sign: turn each so that its largest part is positive."""
    if len(axes_2D) < 2:
        axes_2D = np.concatenate([axes_2D, np.zeros((2 - len(axes_2D), axes_2D.shape[1]))])
    largest = axes_2D[np.arange(2), np.abs(axes_2D).argmax(axis=1)]
    return axes_2D * np.where(largest < 0, -1.0, 1.0)[:, None]


def _spread(points: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt((points**2).sum(axis=1).mean())) if len(points) else 0.0


def compute(context: AnalysisContext) -> dict[str, Any]:
    """The map of the task with the fewest classes: the names of a hundred would be unreadable."""
    tasks = context.fully_known_tasks
    able = [s for s in tasks if len(s.task.classes) > 2 and s.chosen_N.sum() > 2]
    if not able:
        raise LeftOutError("no task has more than two classes and two ECGs")
    scored = min(able, key=lambda s: len(s.task.classes))
    chosen = mapped_records(scored, context.config.seed)
    ecgs = context.model.encode_ecg(context.scored.slots[chosen])
    wordings = [texts[0] for texts in scored.task.wordings(context.language)]
    texts = context.model.encode_text(wordings, scored.task.language)
    return embedding_map(ecgs, texts, scored, chosen.tolist())


def about(block: Any, tasks: Tasks) -> Words:
    """How much the axes explain, and the method."""
    share = f"{100 * sum(block['explained']):.0f} %"
    method = in_both(block["method"])
    return both(
        f"2軸で分散の {share} を説明。平面上の距離は目安です。方法：{method['ja']}。",
        f"The two axes explain {share} of the variance; distances in the plane are a hint, no more."
        f" Method: {method['en']}.",
    )


def charts(block: Any, tasks: Tasks) -> Iterator[Plot]:
    """ECGs as dots, coloured by the commonest classes; texts as crosses."""
    task = tasks[block["task"]]
    counts: dict[str, int] = {}
    for ecg in block["ecgs"]:
        if ecg["class"] is not None:
            counts[ecg["class"]] = counts.get(ecg["class"], 0) + 1
    named = sorted(counts, key=lambda c: -counts[c])[: len(MARKS)]
    series = [each for name in (None, *named) for each in _dots(block["ecgs"], name, named, task)]
    texts = [t for t in block["texts"] if len(block["texts"]) <= _MOST_LABELS or t["id"] in named]
    everything = np.array([(p["x"], p["y"]) for p in (*block["ecgs"], *texts)], np.float64)
    x, y = (_axis(everything[:, side], side + 1, block["explained"][side]) for side in (0, 1))
    yield Plot(
        "map",
        ANALYSIS.title,
        both(
            "心電図（小さな印）と候補の文（十字）を同じ平面に射影。塗りつぶしは最近傍の文が正解、"
            "白抜きは誤り。",
            "ECGs (small marks) and candidate texts (crosses), projected onto one plane. Filled:"
            " the nearest text is true; hollow: it is not.",
        ),
        x,
        y,
        tuple(series),
        tuple(Label(t["x"], t["y"], class_names(task, t["id"])) for t in texts),
        aspect=0.72,
    )


def _dots(
    ecgs: Sequence[Mapping[str, Any]],
    name: str | None,
    named: Sequence[str],
    task: Mapping[str, Any],
) -> Iterator[Series]:
    """The ECGs of a class, or for None those of all classes not in `named`: wrong, then right."""
    own = [e for e in ecgs if (e["class"] if e["class"] in named else None) == name]
    words = class_names(task, name) if name else both("複数のクラス、その他", "several or other")
    for right in (False, True):
        points = np.array([(e["x"], e["y"]) for e in own if e["right"] == right], np.float64)
        yield Series(
            words,
            points.reshape(-1, 2),
            named.index(name) if name else 0,
            line=False,
            dots=True,
            hollow=not right,
            faint=name is None,
            named=right and bool(own),
        )


def _axis(values: Points, number: int, explained: float) -> Axis:
    share = f"{100 * explained:.0f} %"
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 1.0
    label = both(f"第{number}主成分（{share}）", f"Component {number} ({share})")
    return Axis(label, low - margin, high + margin)


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """The places of the texts, and in a CSV file those of the ECGs."""
    x, y = column("x", "number"), column("y", "number")
    title = both("図の数値", "The numbers of the chart")
    rows: tuple[Any, ...] = tuple((t["id"], t["x"], t["y"]) for t in block["texts"])
    yield Table("map-texts", title, (column("id", "text"), x, y), rows, place="folded")
    columns = (column("class", "text"), column("right", "words", both("正誤", "Right")), x, y)
    rows = tuple(
        (e["class"] or "", both("正", "yes") if e["right"] else both("誤", "no"), e["x"], e["y"])
        for e in block["ecgs"]
    )
    yield Table("map-ecgs", title, columns, rows, place="csv")


ANALYSIS = Analysis(
    title=both("共有埋め込み空間の地図", "Map of the joint embedding"),
    compute=compute,
    tables=tables,
    about=about,
    charts=charts,
)
