"""Which class prompts the language model finds alike, before any ECG is seen.

C = classes, W = width of the language model's vectors.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.results import Tasks
from ecgpipe.evaluate.scored_task import ScoredTask
from ecgpipe.evaluate.table import Table, column
from ecgpipe.evaluate.words import Words, both, class_names

Floats = npt.NDArray[np.float64]

_NEAREST = 15

# A pair of classes counts if exchanging these words in one's name gives the other's.
OPPOSITES = {
    "ja": (
        ("左", "右"),
        ("前", "後"),
        ("下", "前"),
        ("下", "側"),
        ("心房", "心室"),
        ("上室", "心室"),
        ("頻脈", "徐脈"),
        ("延長", "短縮"),
        ("上昇", "低下"),
        ("高", "低"),
        ("完全", "不完全"),
        ("時計", "反時計"),
    ),
    "en": (
        ("left", "right"),
        ("anterior", "posterior"),
        ("inferior", "anterior"),
        ("inferior", "lateral"),
        ("atrial", "ventricular"),
        ("supraventricular", "ventricular"),
        ("tachycardia", "bradycardia"),
        ("prolonged", "short"),
        ("elevation", "depression"),
        ("high", "low"),
        ("complete", "incomplete"),
        ("clockwise", "counterclockwise"),
    ),
}


def measure_text_space(
    vectors_CW: npt.NDArray[np.float32],
    projected_CD: npt.NDArray[np.float32],
    mean_W: npt.NDArray[np.float32],
    class_ids: Sequence[str],
    names: Sequence[str],
    language: str,
) -> dict[str, Any]:
    """The `text_space` block of the results file.

    Args:
        vectors_CW: the language model's vectors of the class prompts.
        projected_CD: the same after the trained model's projection.
        mean_W: the mean of the training texts, which the trained model subtracts.
        class_ids: of the classes.
        names: their wordings.
        language: ja or en, for the opposites.
    """
    centred_CW = np.asarray(vectors_CW, np.float64) - mean_W
    sides: dict[str, npt.NDArray[Any]] = {
        "raw": vectors_CW,
        "centred": centred_CW,
        "projected": projected_CD,
    }
    spaces = {name: cosines(vectors) for name, vectors in sides.items()}
    pairs = list(itertools.combinations(range(len(class_ids)), 2))
    alike = sorted(pairs, key=lambda pair: -spaces["centred"][pair])
    return {
        "classes": list(class_ids),
        "anisotropy": {
            name: {
                "mean_cosine": _mean_of_pairs(spaces[name], pairs),
                "effective_dimensions": effective_dimensions(vectors),
            }
            for name, vectors in sides.items()
        },
        "nearest": [_pair_entry(pair, class_ids, spaces, pairs) for pair in alike[:_NEAREST]],
        "opposites": [
            _pair_entry(pair, class_ids, spaces, pairs) for pair in opposite_pairs(names, language)
        ],
        "similarity": np.round(spaces["centred"], 3).tolist(),
    }


def cosines(vectors_CW: npt.NDArray[Any]) -> Floats:
    """(C, C) cosines; 0 where a vector is 0."""
    vectors = np.asarray(vectors_CW, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    similarity: Floats = units @ units.T
    return similarity


def effective_dimensions(vectors_CW: npt.NDArray[Any]) -> float | None:
    """The participation ratio of the spectrum, (sum of variances)^2 / sum of their squares.

    1 if all vectors are multiples of one, C if they are orthogonal and equally long.
    """
    energies = np.linalg.svd(np.asarray(vectors_CW, np.float64), compute_uv=False) ** 2
    total = float((energies**2).sum())
    return float(energies.sum() ** 2 / total) if total > 0 else None


def opposite_pairs(names: Sequence[str], language: str) -> list[tuple[int, int]]:
    """Classes whose names differ by one exchanged word, each pair once."""
    place = {name.casefold(): number for number, name in reversed(list(enumerate(names)))}
    found = set()
    for one, other in OPPOSITES.get(language, ()):
        for name, number in place.items():
            for this, that in ((one, other), (other, one)):
                partner = place.get(_exchanged(name, this, that))
                if partner is not None and partner != number:
                    found.add((min(number, partner), max(number, partner)))
    return sorted(found)


def _exchanged(name: str, this: str, that: str) -> str:
    """`name` with `that` in place of `this`; empty where it does not hold `this`."""
    return name.replace(this, that, 1) if this in name else ""


def text_confusion_correlation(
    similarity_CC: Floats, overtaken_CC: Floats, permutations: int, seed: int
) -> dict[str, float | int | None]:
    """Whether findings whose texts are alike are confused with one another.

    Spearman's correlation between cosine and rate of confusion over all ordered pairs of classes,
    with a permutation test over classes (Mantel 1967), because pairs that share a class are not
    independent.

    Args:
        similarity_CC: cosines of the class prompts.
        overtaken_CC: rates of confusion (`failures.overtaken`); NaN where unknown.
        permutations: shufflings of the classes.
        seed: of the shufflings.
    """
    from scipy.stats import rankdata

    known = np.isfinite(overtaken_CC) & ~np.eye(len(overtaken_CC), dtype=bool)
    if known.sum() < 3:
        return {"value": None, "p": None, "pairs": int(known.sum())}
    rates, rng = rankdata(overtaken_CC[known]), np.random.default_rng(seed)

    def correlation(order: npt.NDArray[np.int64]) -> float:
        alike = rankdata(similarity_CC[np.ix_(order, order)][known])
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.corrcoef(alike, rates)[0, 1])  # NaN where a side does not vary

    value = correlation(np.arange(len(similarity_CC)))
    if np.isnan(value):
        return {"value": None, "p": None, "pairs": int(known.sum())}
    others = [correlation(rng.permutation(len(similarity_CC))) for _ in range(permutations)]
    as_far = sum(abs(other) >= abs(value) - 1e-12 for other in others)
    return {
        "value": value,
        "p": (1 + as_far) / (1 + permutations),
        "pairs": int(known.sum()),
    }


def _pair_entry(
    pair: tuple[int, int],
    class_ids: Sequence[str],
    spaces: Mapping[str, Floats],
    pairs: Sequence[tuple[int, int]],
) -> dict[str, Any]:
    """Both classes, their cosine in each space, and the share of pairs that are less alike."""
    centred = spaces["centred"]
    less = sum(centred[other] < centred[pair] for other in pairs)
    return {
        "classes": [class_ids[pair[0]], class_ids[pair[1]]],
        **{name: float(space[pair]) for name, space in spaces.items()},
        "alike_than": less / max(len(pairs) - 1, 1),
    }


def _mean_of_pairs(space: Floats, pairs: Sequence[tuple[int, int]]) -> float | None:
    return float(np.mean([space[pair] for pair in pairs])) if pairs else None


def class_vectors(context: AnalysisContext, scored: ScoredTask) -> npt.NDArray[np.float32]:
    """(C, W) the language model's vectors of the classes' first wordings, in their prompt."""
    names = [texts[0] for texts in scored.task.wordings(context.language)]
    return context.model.text_vectors(names, scored.task.language)


def compute(context: AnalysisContext) -> dict[str, Any]:
    """How alike the language model finds the classes of the first task."""
    scored = context.scorable_tasks[0]
    names = [texts[0] for texts in scored.task.wordings(context.language)]
    if len(names) < 2:
        raise LeftOutError("the task has a single class")
    return {
        "task": scored.task.name,
        **measure_text_space(
            class_vectors(context, scored),
            context.model.encode_text(names, scored.task.language),
            context.model.text_mean,
            [each.id for each in scored.task.classes],
            names,
            scored.task.language or context.language,
        ),
    }


_SPACES = {
    "raw": both("言語モデルのまま", "raw"),
    "centred": both("平均を引いた後", "minus the mean"),
    "projected": both("射影後", "projected"),
}


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """The spaces, and the pairs of prompts that are most alike."""
    columns = (
        column("space", "words", both("空間", "Space")),
        column("mean_cosine", "number", both("平均余弦", "Mean cosine")),
        column("effective_dimensions", "number", both("実効次元", "Effective dimensions")),
    )
    rows = tuple(
        (_SPACES[name], each["mean_cosine"], each["effective_dimensions"])
        for name, each in block["anisotropy"].items()
    )
    yield Table("text_space-spaces", ANALYSIS.title, columns, rows)
    titles = {
        "nearest": both(
            "言語モデルにとって最も近い組", "Pairs the language model finds most alike"
        ),
        "opposites": both("一語だけ異なる反対の組", "Opposites that differ by one word"),
    }
    for which, title in titles.items():
        if block[which]:
            yield _pairs_table(f"text_space-{which}", title, block[which], tasks[block["task"]])


def _pairs_table(
    name: str, title: Words, pairs: Sequence[Mapping[str, Any]], task: Mapping[str, Any]
) -> Table:
    columns = (
        column("class", "words"),
        column("other_class", "words", both("相手のクラス", "Other class")),
        *(column(space, "number", words) for space, words in _SPACES.items()),
        column("alike_than", "number", both("これより遠い組の割合", "Pairs less alike")),
    )
    rows = tuple(
        (
            *(class_names(task, each) for each in pair["classes"]),
            *(pair[space] for space in (*_SPACES, "alike_than")),
        )
        for pair in pairs
    )
    return Table(name, title, columns, rows)


ANALYSIS = Analysis(title=both("テキスト空間", "Text space"), compute=compute, tables=tables)
