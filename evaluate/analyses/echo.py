"""What an echocardiogram shows, told by the model, the ECG's label and voltages: on the same ECGs.

Owns which scores stand side by side and how a voltage is ranked. How well the model tells each
finding of echocardiography is the task `echo`'s; whether that is more than a reader of the ECG knew
already is asked here. N = ECGs, D = draws.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from ecgpipe.cache.records_table import Record
from ecgpipe.evaluate.analyses.analysis import Analysis, AnalysisContext, LeftOutError
from ecgpipe.evaluate.analyses.conditions import to_millivolts
from ecgpipe.evaluate.analyses.delineation import measure
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.metrics.metrics import weighted_auroc
from ecgpipe.evaluate.results import Metric, Tasks
from ecgpipe.evaluate.scoring import percentile_metric, share_metric, wilson_metric
from ecgpipe.evaluate.table import Table, column
from ecgpipe.evaluate.tasks.echo_definitions import EchoDefinition
from ecgpipe.evaluate.words import Words, both

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_MOST_MEASURED = 500  # about a minute


@dataclass(frozen=True, kw_only=True)
class Voltage:
    """A voltage that readers go by, and its criterion."""

    ja: str
    en: str
    criterion: str
    source: str
    limits_mv: Mapping[str, float]
    """By sex."""

    at_least: bool
    """Whether the limit itself meets the criterion."""

    def over_limit(self, values_N: Floats, sexes_N: Sequence[str | None]) -> Floats:
        """(N,) mV above the limit of the patient's sex; NaN where one of both is unknown."""
        limits = [self.limits_mv.get(sex or "", np.nan) for sex in sexes_N]
        if len(set(self.limits_mv.values())) == 1:  # then the sex does not matter
            limits = [next(iter(self.limits_mv.values()))] * len(sexes_N)
        return values_N - np.array(limits, np.float64)

    def is_met(self, over_N: Floats) -> Booleans:
        """(N,) whether the criterion is, by the mV above the limit."""
        met: Booleans = over_N >= 0 if self.at_least else over_N > 0
        return met


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A finding of echocardiography, and what of the ECG means the same."""

    echo: str
    ecg: Sequence[str]
    voltages: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to tell the finding."""

    name: str
    names: Words
    scores_N: Floats
    met_N: Booleans | None = None
    """Whether it says yes; None for a score without a limit."""

    criterion: str | None = None


@functools.cache
def echo_comparisons() -> tuple[dict[str, Voltage], tuple[Comparison, ...]]:
    """All of echo_comparisons.yaml: voltages by their name in `measure`, and the comparisons."""
    file = resources.files("ecgpipe.evaluate.analyses") / "echo_comparisons.yaml"
    table = yaml.safe_load(file.read_text(encoding="utf-8"))
    voltages = {name: Voltage(**entry) for name, entry in table["voltages"].items()}
    return voltages, tuple(Comparison(**entry) for entry in table["comparisons"])


def compared(
    contenders: Sequence[Contender], truth_N: Booleans, draws: PatientDraws
) -> list[dict[str, Any]]:
    """Every contender's AUROC, what the first has more, and its criterion; ready for JSON.

    Args:
        contenders: the model first; all have a score for each of the ECGs.
        truth_N: which ECGs' echocardiograms show the finding; some do and some do not.
        draws: bootstrap draws of the ECGs, the same for all, so that their differences are paired.
    """
    weights_DN = draws.weights(0, len(draws)).T.astype(np.float64)
    weights_DN = np.concatenate([np.ones((1, len(truth_N))), weights_DN])
    n_effective = float(draws.n_patients(np.stack([truth_N, ~truth_N], axis=1)).min())
    areas = [
        weighted_auroc(each.scores_N.astype(np.float32), truth_N, weights_DN) for each in contenders
    ]
    found = []
    for each, area_D in zip(contenders, areas, strict=True):
        is_model = each is contenders[0]
        met_N = each.met_N
        found.append(
            {
                "score": each.name,
                "names": dict(each.names),
                "criterion": each.criterion,
                "auroc": share_metric(area_D, n_effective),
                "model_minus_it": None if is_model else percentile_metric(areas[0] - area_D),
                "sensitivity": None if met_N is None else _share(met_N[truth_N]),
                "specificity": None if met_N is None else _share(~met_N[~truth_N]),
            }
        )
    return found


def _share(right_N: Booleans) -> Metric:
    return wilson_metric(float(right_N.mean()), len(right_N))


def compute(context: AnalysisContext) -> dict[str, Any]:
    """Compare for every finding that both echocardiograms and readers of ECGs name."""
    if context.echo is None:
        raise LeftOutError("data.echo names no table of echocardiograms")
    if not context.config.tasks:
        raise LeftOutError("eval.tasks is empty, so no finding is asked for")
    _, comparisons = echo_comparisons()
    definitions = {each.id: each for each in context.echo.definitions}
    measured: dict[int, dict[str, float]] = {}
    entries = [
        entry
        for comparison in comparisons
        if (definition := definitions.get(comparison.echo)) is not None
        and (entry := _comparison(context, comparison, definition, measured)) is not None
    ]
    if not entries:
        raise LeftOutError(
            f"of no finding that readers of ECGs name too do {context.config.min_positives} ECGs"
            " have an echocardiogram that shows it and as many one that does not"
        )
    return {"findings": entries}


def _comparison(
    context: AnalysisContext,
    comparison: Comparison,
    definition: EchoDefinition,
    measured: dict[int, dict[str, float]],
) -> dict[str, Any] | None:
    """One finding; None if too few ECGs have it or have it not. `measured` remembers voltages."""
    records, least = context.scored.records, context.config.min_positives
    known = [n for n, record in enumerate(records) if comparison.echo in record.echo_known]
    # An ECG that nobody labelled says nothing about what labels tell.
    known = [n for n in known if records[n].findings] or known
    if len(known) > _MOST_MEASURED:
        rng = np.random.default_rng(context.config.seed)
        known = sorted(rng.choice(known, _MOST_MEASURED, replace=False).tolist())
    contenders = [
        *_said(context, comparison, definition, known),
        *_voltages(context, comparison, known, measured),
    ]
    on_all_N = np.all([np.isfinite(each.scores_N) for each in contenders], axis=0)
    shown_N = np.array([comparison.echo in records[n].echo_shown for n in known], np.bool_)
    truth_N = shown_N[on_all_N]
    if min(truth_N.sum(), (~truth_N).sum()) < max(least, 1):
        return None
    chosen = np.zeros(len(records), np.bool_)
    chosen[np.array(known)[on_all_N]] = True
    cut = [
        replace(
            each,
            scores_N=each.scores_N[on_all_N],
            met_N=None if each.met_N is None else each.met_N[on_all_N],
        )
        for each in contenders
    ]
    return {
        "class": definition.id,
        "names": definition.names,
        "n_known": len(truth_N),
        "n": int(truth_N.sum()),
        "scores": compared(cut, truth_N, context.draws.chosen(chosen)),
    }


def _said(
    context: AnalysisContext,
    comparison: Comparison,
    definition: EchoDefinition,
    known: Sequence[int],
) -> Iterator[Contender]:
    """The model, asked by the name of either finding, and the ECG's own label."""
    of_list = {finding.id: finding for finding in context.taxonomy.findings}
    own = [of_list[each] for each in comparison.ecg if each in of_list]
    asked = [(_MODEL, definition.names[context.language])]
    # Only what occurs, or is asked by a task, has a vector.
    spoken = {
        text
        for scored in context.tasks
        if scored.task.language in (None, context.language)
        for texts in scored.task.wordings(context.language)
        for text in texts
    }
    of_ecg = [each.name(context.language) for each in own]
    asked += [(_BY_ECG_NAME, name) for name in of_ecg if name in spoken][:1]
    ecg_ND = context.model.encode_ecg(context.scored.slots[np.array(known, np.int64)])
    for (name, names), text in asked:
        text_1D = context.model.encode_text([text], context.language)
        yield Contender(
            name=name, names=names, scores_N=(ecg_ND @ text_1D.T)[:, 0].astype(np.float64)
        )
    if own and any(context.scored.records[n].findings for n in known):
        ids = {finding.id for finding in own}
        label_N = np.array(
            [not ids.isdisjoint(context.scored.records[n].findings) for n in known], np.bool_
        )
        yield Contender(
            name="ecg_label",
            names=both("心電図のラベル", "The ECG's label"),
            scores_N=label_N.astype(np.float64),
            met_N=label_N,
        )


def _voltages(
    context: AnalysisContext,
    comparison: Comparison,
    known: Sequence[int],
    measured: dict[int, dict[str, float]],
) -> Iterator[Contender]:
    """The voltages that can be measured on some of these ECGs."""
    voltages, _ = echo_comparisons()
    records: Sequence[Record] = context.scored.records
    for name in comparison.voltages:
        for n in known:
            if n not in measured:
                context.check_stop()
                stored_LS = context.signals.read(context.scored.slots[n : n + 1])
                leads = context.signals.leads
                measured[n] = measure(to_millivolts(stored_LS)[0], leads, context.rate_hz)
        voltage = voltages[name]
        values_N = np.array([measured[n][name] for n in known], np.float64)
        over_N = voltage.over_limit(values_N, [records[n].sex for n in known])
        if np.isfinite(over_N).any():
            yield Contender(
                name=name,
                names=both(voltage.ja, voltage.en),
                scores_N=over_N,
                met_N=voltage.is_met(over_N),
                criterion=voltage.criterion,
            )


_MODEL = ("model", both("モデル（心エコーの所見名）", "Model, by the echo finding's name"))
_BY_ECG_NAME = (
    "ecg_name",
    both("モデル（心電図の所見名）", "Model, by the ECG finding's name"),
)


def about(block: Any, tasks: Tasks) -> Words:
    """That all are on the same ECGs."""
    return both(
        "同じ心電図の上での比較です。差の区間は、同じ患者の再標本化によります。",
        "All on the same ECGs; intervals of differences are of the same draws of patients.",
    )


def tables(block: Any, tasks: Tasks) -> Iterator[Table]:
    """For each finding, one row a score."""
    columns = (
        column("score", "words", both("判定の根拠", "Told by")),
        column("auroc", "area"),
        column("model_minus_it", "area", both("モデルとの差", "Model minus it")),
        column("criterion", "text", both("診断基準", "Criterion")),
        column("sensitivity", "share", both("感度", "Sensitivity")),
        column("specificity", "share", both("特異度", "Specificity")),
    )
    for entry in block["findings"]:
        rows = tuple(
            (
                each["names"],
                each["auroc"],
                each["model_minus_it"],
                each["criterion"] or "–",
                each["sensitivity"],
                each["specificity"],
            )
            for each in entry["scores"]
        )
        n, n_known = entry["n"], entry["n_known"]
        title = both(
            f"{entry['names']['ja']}（{n_known:,} 件中 {n:,} 件）",
            f"{entry['names']['en']} ({n:,} of {n_known:,} ECGs)",
        )
        yield Table(f"echo-{entry['class']}", title, columns, rows)


ANALYSIS = Analysis(
    title=both("心エコーの所見：モデル、ラベル、電位", "Echocardiography: model, label, voltages"),
    of_echos=True,
    compute=compute,
    tables=tables,
    about=about,
)
