"""Each finding scored by words that training never saw, beside the name it was trained by.

Owns the comparison of groups of wordings (`spoken` scores each), and how far from the texts trained
on a wording may lie and still be scored better than chance, which is what a trained model says of
questions in one's own words. Findings that training never named are in `unseen`. N = records,
F = findings, M = wordings, D = draws.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ecgpipe.config.settings import Language
from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.analyses.unread.spoken import (
    NAME,
    Scores,
    Spoken,
    SpokenScores,
    Truth,
    names_of,
    spoken_of,
    wording_scores,
)
from ecgpipe.evaluate.metrics.baselines import shuffles
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.metrics.nearness import nearest
from ecgpipe.evaluate.results import NO_METRIC, Metric, Tasks
from ecgpipe.evaluate.scoring import DrawsByName, class_metrics, pooled_over
from ecgpipe.evaluate.table import Column, Table, column
from ecgpipe.evaluate.tasks.task_file import LANGUAGES
from ecgpipe.evaluate.tasks.taxonomy import Finding
from ecgpipe.evaluate.tasks.wordings import KINDS
from ecgpipe.evaluate.words import Words, both, word

_MOST_BINS, _LEAST_IN_BIN = 5, 10


def groups(spoken: Sequence[Spoken], own: Language) -> dict[str, list[int]]:
    """The places of the wordings of each group that has any: all that are held out, by language, by
    kind, and the names in the language that training does not name findings in."""
    held_out = [place for place, each in enumerate(spoken) if each.kind != NAME]
    found = {"held_out": held_out}
    for language in LANGUAGES:
        found[language] = [place for place in held_out if spoken[place].language == language]
    for kind in KINDS:
        found[kind] = [place for place in held_out if spoken[place].kind == kind]
    found["other_name"] = [
        place for place, each in enumerate(spoken) if each.kind == NAME and each.language != own
    ]
    return {group: places for group, places in found.items() if places}


def bins_of(distances: Sequence[float]) -> list[list[int]]:
    """The places of distances in up to five bins of as many each, the nearest first; ten or more in
    a bin, so that it has an interval worth reading."""
    n_bins = max(1, min(_MOST_BINS, len(distances) // _LEAST_IN_BIN))
    order = np.argsort(np.asarray(distances), kind="stable")
    return [part.tolist() for part in np.array_split(order, n_bins)]


def limit_of(bins: Sequence[Mapping[str, Any]]) -> float | None:
    """The largest distance up to which every bin is better than chance; None if the first is not.

    Better: the lower bound is above .5, and the value above what the same wordings reach at the
    wrong findings in all but 2.5 % of exchanges and draws of patients.
    """
    limit: float | None = None
    for each in bins:
        metric, by_chance = each["macro_auroc"], (each["exchanged"] or NO_METRIC)["high"]
        if metric["low"] is None or metric["low"] <= 0.5 or metric["value"] <= (by_chance or 0.5):
            break
        limit = each["high"]
    return limit


def compute(context: AnalysisContext) -> dict[str, Any]:
    """The groups' AUROCs, of the model and of one untrained encoder, and each wording's."""
    if context.bank is None:
        raise LeftOutError(
            "text.wordings is name, so no wording is held out of training; eval.analyses may name"
            " wordings to score the taxonomy's bank all the same"
        )
    findings, truth_NF = _scored_findings(context)
    if not findings:
        raise LeftOutError(f"no finding has {context.config.min_positives} ECGs")
    spoken = spoken_of(findings, context.bank)
    context.check_stop()
    scores_NM = wording_scores(context.model, context.scored, spoken)
    trained, untrained = (
        SpokenScores.of(spoken, each_NM, truth_NF, context.draws)
        for each_NM in (scores_NM, wording_scores(context.untrained[0], context.scored, spoken))
    )
    distances_M = _distances(context, spoken)
    name_of = {
        each.finding: place
        for place, each in enumerate(spoken)
        if each.kind == NAME and each.language == context.language
    }
    of_group = groups(spoken, context.language)
    of_bin = _binned(spoken, distances_M, context.language)
    exchanged = _exchanged(context, spoken, scores_NM, truth_NF, [*of_group.values(), *of_bin])
    return {
        "n": len(context.scored),
        "groups": [
            {**_group(group, places, name_of, trained, untrained), "exchanged": by_chance}
            for (group, places), by_chance in zip(of_group.items(), exchanged, strict=False)
        ],
        "by_distance": _by_distance(trained, distances_M, of_bin, exchanged[len(of_group) :]),
        "wordings": [
            {
                "finding": findings[each.finding].id,
                "names": names_of(findings[each.finding]),
                "language": each.language,
                "kind": each.kind,
                "text": each.text,
                "distance": distances_M[place],
                "auroc": class_metrics(trained.found, place)["auroc"],
            }
            for place, each in enumerate(spoken)
        ],
    }


def _scored_findings(context: AnalysisContext) -> tuple[list[Finding], Truth]:
    """The findings that training names with enough ECGs, and (N, F) which records show them."""
    chosen = [each for each in context.taxonomy.findings if each.id not in context.unseen]
    return context.scorable_findings(chosen)


def _distances(context: AnalysisContext, spoken: Sequence[Spoken]) -> list[float | None]:
    """Of each wording's sentence from the nearest that training read; None if none may be kept."""
    found: list[float | None] = [None] * len(spoken)
    if not len(context.trained_texts):
        return found
    for language in LANGUAGES:
        places = [place for place, each in enumerate(spoken) if each.language == language]
        text_MW = context.model.text_vectors([spoken[place].text for place in places], language)
        near = nearest(context.model.place_texts(text_MW), context.trained_texts)
        for place, cosine in zip(places, near.tolist(), strict=True):
            found[place] = 1 - cosine
    return found


def _binned(
    spoken: Sequence[Spoken], distances_M: Sequence[float | None], own: Language
) -> list[list[int]]:
    """The places of all wordings that training did not read, in bins by their distance."""
    known = [
        (place, far)
        for place, far in enumerate(distances_M)
        if far is not None and (spoken[place].kind, spoken[place].language) != (NAME, own)
    ]
    if not known:
        return []
    return [[known[n][0] for n in chosen] for chosen in bins_of([far for _, far in known])]


def _by_distance(
    trained: SpokenScores,
    distances_M: Sequence[float | None],
    of_bin: Sequence[Sequence[int]],
    exchanged: Sequence[Metric | None],
) -> dict[str, Any] | None:
    """Each bin's AUROC beside chance, and how far it is better."""
    bins = [
        {
            "low": distances_M[places[0]],
            "high": distances_M[places[-1]],
            "wordings": len(places),
            "findings": len({trained.spoken[place].finding for place in places}),
            "macro_auroc": trained.macro_auroc(places),
            "exchanged": by_chance,
        }
        for places, by_chance in zip(of_bin, exchanged, strict=True)
    ]
    return {"bins": bins, "limit": limit_of(bins)} if bins else None


def _exchanged(
    context: AnalysisContext,
    spoken: Sequence[Spoken],
    scores_NM: Scores,
    truth_NF: Truth,
    places_of: Sequence[Sequence[int]],
) -> list[Metric | None]:
    """The macro AUROC of the wordings at each of `places_of`, with all at the wrong findings.

    This is not always .5: a model may score whatever it does not know by how abnormal an ECG looks.
    """

    def of_one(order_F: npt.NDArray[np.int64], part: PatientDraws) -> DrawsByName:
        wrong = [replace(each, finding=int(order_F[each.finding])) for each in spoken]
        scored = SpokenScores.of(wrong, scores_NM, truth_NF, part)
        return {str(n): scored.macro_auroc_D(places) for n, places in enumerate(places_of)}

    orders = shuffles(truth_NF.shape[1], context.config.seed)
    found = pooled_over(orders, len(orders), context.draws, of_one)
    return [found.get(str(n)) for n in range(len(places_of))]


def _group(
    group: str,
    places: Sequence[int],
    name_of: dict[int, int],
    trained: SpokenScores,
    untrained: SpokenScores,
) -> dict[str, Any]:
    findings = sorted({trained.spoken[place].finding for place in places})
    return {
        "group": group,
        "findings": len(findings),
        "wordings": len(places),
        "macro_auroc": trained.macro_auroc(places),
        "by_name": trained.macro_auroc([name_of[finding] for finding in findings]),
        "random_encoder": untrained.macro_auroc(places),
    }


def about(block: Any, tasks: Tasks) -> Words:
    """What the words are."""
    return both(
        "学習で一度も使っていない言い回しで、各所見を採点します。言い回しごとに採点し、所見の中で、次に所見の間で平均します。「名前」は、同じ所見を学習で使った名前で採点した値です。"
        "距離は、モデルが文を置く空間で、最も近い学習文から測ります。",
        "Each finding by words that training never used: each wording by itself, then the mean of a"
        " finding's, then that of findings. “By name”: the same findings by the names they were"
        " trained by. Distances are from the nearest text trained on, where the model places"
        " texts.",
    )


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """The groups, the bins by distance; and folded, every wording."""
    yield _groups_table(block)
    if block["by_distance"]:
        yield _distance_table(block["by_distance"])
    yield _each_table(block)


def _exchanged_column() -> Column:
    return column("exchanged", "area", both("所見間で入替（偶然）", "At the wrong findings"))


def _groups_table(block: Any) -> Table:
    columns = (
        column("group", "words", both("言い回し", "Wordings")),
        column("findings", "count", both("所見数", "Findings")),
        column("wordings", "count", both("言い回しの数", "Number")),
        column("macro_auroc", "area", word("metrics", "macro_auroc")),
        column("by_name", "area", both("同じ所見の名前", "The same findings by name")),
        _exchanged_column(),
        column("random_encoder", "area", word("baselines", "random_encoder")),
    )
    rows = tuple(
        (_WORDS[each["group"]], *(each[key.key] for key in columns[1:])) for each in block["groups"]
    )
    return Table("wordings", ANALYSIS.title, columns, rows)


def _distance_table(by_distance: Any) -> Table:
    """One row a bin; those up to the limit are marked."""
    columns = (
        column(
            "distance", "text", both("最も近い学習文との距離", "Distance from the nearest text")
        ),
        column("wordings", "count", both("言い回しの数", "Wordings")),
        column("findings", "count", both("所見数", "Findings")),
        column("macro_auroc", "area", word("metrics", "macro_auroc")),
        _exchanged_column(),
        column("better", "words", both("偶然を上回る", "Better than chance")),
    )
    limit = by_distance["limit"]
    rows = tuple(
        (
            f"{each['low']:.3f}–{each['high']:.3f}",
            *(each[key.key] for key in columns[1:-1]),
            _WORDS["better" if limit is not None and each["high"] <= limit else "not_better"],
        )
        for each in by_distance["bins"]
    )
    title = both(
        "学習した文との距離別、学習していない言い回し",
        "Words never trained on, by their distance from the texts trained on",
    )
    return Table("wordings-distance", title, columns, rows)


def _each_table(block: Any) -> Table:
    columns = (
        column("finding", "words", both("所見", "Finding")),
        column("language", "words", both("言語", "Language")),
        column("kind", "words", both("種類", "Kind")),
        column("text", "text", both("言い回し", "Wording")),
        column("distance", "number", both("学習文との距離", "Distance")),
        column("auroc", "area"),
    )
    rows = tuple(
        (
            *(each["names"], _WORDS[each["language"]], _WORDS[each["kind"]]),
            *(each[key] for key in ("text", "distance", "auroc")),
        )
        for each in block["wordings"]
    )
    title = both("言い回しごとの AUROC", "AUROC of each wording")
    return Table("wordings-each", title, columns, rows, place="folded")


_WORDS = {
    "held_out": both("学習で使っていないもの全部", "All that training never used"),
    "ja": both("日本語", "Japanese"),
    "en": both("英語", "English"),
    "synonym": both("同義語", "synonym"),
    "abbreviation": both("略語", "abbreviation"),
    "definition": both("説明", "definition"),
    "other_name": both("もう一方の言語の名前", "Names in the other language"),
    NAME: both("名前", "name"),
    "better": both("はい", "yes"),
    "not_better": both("いいえ", "no"),
}

ANALYSIS = Analysis(
    title=both("学習していない言い回し", "Words never trained on"),
    compute=compute,
    tables=tables,
    about=about,
)
