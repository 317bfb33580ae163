"""Every metric of 40,000 ECGs x 98 prompts with 1,000 bootstrap draws, in 30 s on two cores.

Simulated scores: each ECG shows one to four of 98 findings of Zipf frequencies, patients have one
to four ECGs, and a finding that is shown scores 1.5 standard deviations higher. The metrics: hit@1
and hit@5, AUROC, average precision and F1 of every finding, their micro, macro and any summaries,
each with its 1,000 draws. Time with all processors and with one thread, the most memory, and the
same metrics of a few draws by a plain loop over scikit-learn: how long that takes, and how far the
results differ.

    python -m benchmarks.evaluation
"""

import argparse
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from benchmarks.report import as_lines, conditions, table, verdict
from ecgpipe.evaluate.metrics.bootstrap import PatientDraws
from ecgpipe.evaluate.metrics.thresholds import best_f1_thresholds
from ecgpipe.evaluate.scoring import TaskDraws, bootstrap_metrics, n_threads

TARGET_S = 30.0
LEAST = 10


@dataclass(frozen=True)
class Case:
    """What is scored. N = ECGs, C = findings."""

    scores_NC: npt.NDArray[np.float32]
    truth_NC: npt.NDArray[np.bool_]
    thresholds_C: npt.NDArray[np.float32]
    patients: list[str]


def simulate(n_ecgs: int, n_findings: int, seed: int = 0) -> Case:
    """Scores, truth and patients; thresholds come from a tenth as many ECGs of their own."""
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, n_findings + 1)
    parts = []
    for n in (n_ecgs, max(n_ecgs // 10, 50)):
        keys = rng.gumbel(size=(n, n_findings)) + np.log(frequency)
        place = np.argsort(np.argsort(-keys, axis=1), axis=1)
        truth_NC = place < rng.integers(1, 5, n)[:, None]  # draws without replacement
        scores_NC = (0.1 * (rng.normal(size=truth_NC.shape) + 1.5 * truth_NC)).astype(np.float32)
        parts.append((scores_NC, truth_NC))
    sizes = rng.integers(1, 5, n_ecgs)
    patients = [str(p) for p in np.repeat(np.arange(n_ecgs), sizes)[:n_ecgs]]
    return Case(*parts[0], best_f1_thresholds(*parts[1]), patients)


def ours(case: Case, n_draws: int) -> tuple[TaskDraws, float]:
    """All metrics, and the seconds they took, drawing patients and intervals included."""
    started = time.perf_counter()
    draws = PatientDraws.of(case.patients, n_draws, seed=0)
    found = bootstrap_metrics(case.scores_NC, case.truth_NC, draws, LEAST, case.thresholds_C)
    found.summary_metrics()
    return found, time.perf_counter() - started


def by_scikit_learn(case: Case, n_draws: int) -> tuple[dict[str, npt.NDArray[np.float64]], float]:
    """AUROC, average precision and F1 of every finding in the first draws, and the seconds."""
    draws = PatientDraws.of(case.patients, n_draws, seed=0)
    started = time.perf_counter()
    shape = n_draws, case.truth_NC.shape[1]
    found = {name: np.full(shape, np.nan) for name in ("auroc", "auprc", "f1")}
    for draw in range(n_draws):
        weight_N = draws.weights(draw, draw + 1)[:, 0].astype(np.float64)
        for c in range(shape[1]):
            truth, scores = case.truth_NC[:, c], case.scores_NC[:, c]
            if not weight_N[truth].any():
                continue
            found["auroc"][draw, c] = roc_auc_score(truth, scores, sample_weight=weight_N)
            found["auprc"][draw, c] = average_precision_score(truth, scores, sample_weight=weight_N)
            if not np.isnan(case.thresholds_C[c]):
                said = scores >= case.thresholds_C[c]
                found["f1"][draw, c] = f1_score(truth, said, sample_weight=weight_N)
    return found, time.perf_counter() - started


def largest_difference(
    found: TaskDraws, expected: dict[str, npt.NDArray[np.float64]]
) -> dict[str, float]:
    """By metric, over findings and draws; both must lack the same ones."""
    largest = {}
    for name, wanted in expected.items():
        got = found.by_class[name][1 : 1 + len(wanted)]
        if not np.array_equal(np.isnan(got), np.isnan(wanted)):
            raise SystemExit(f"{name}: other metrics exist than with scikit-learn")
        largest[name] = float(np.nanmax(np.abs(got - wanted)))
    return largest


def peak_mb() -> float:
    """The most memory this process has held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ecgs", type=int, default=40_000)
    parser.add_argument("--findings", type=int, default=98)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--compared", type=int, default=3, help="Draws scikit-learn does too.")
    parser.add_argument("--miniature", action="store_true", help="Small and soon done, for CI.")
    options = parser.parse_args(arguments)
    if options.miniature:
        options.ecgs, options.findings, options.draws, options.compared = 2000, 12, 100, 2
    os.environ.pop("OMP_NUM_THREADS", None)  # all processors, whatever the surroundings set
    case = simulate(options.ecgs, options.findings)
    before_mb = peak_mb()
    found, all_s = ours(case, options.draws)
    grown_mb = peak_mb() - before_mb
    threads = n_threads()
    os.environ["OMP_NUM_THREADS"] = "1"
    _, one_s = ours(case, options.draws)
    expected, theirs_s = by_scikit_learn(case, options.compared)
    print(as_lines(conditions(("scikit-learn", "scipy"))))
    print(
        f"{options.ecgs:,} ECGs of {len(set(case.patients)):,} patients x {options.findings}"
        f" findings, {case.truth_NC.sum():,} pairs shown, {options.draws:,} draws\n"
    )
    per_draw = theirs_s / options.compared
    rows = [
        [f"ours, {threads} threads", f"{all_s:.1f}", f"{1e3 * all_s / options.draws:.1f}"],
        ["ours, 1 thread", f"{one_s:.1f}", f"{1e3 * one_s / options.draws:.1f}"],
        [
            "loop over scikit-learn",
            f"{per_draw * options.draws:.0f} (from {options.compared} draws)",
            f"{1e3 * per_draw:.0f}",
        ],
    ]
    print(table(["", "s", "ms a draw"], rows))
    print(f"\nmemory beyond the scores: {grown_mb:.0f} MB at most")
    for name, difference in largest_difference(found, expected).items():
        print(f"{name}: differs from scikit-learn by {difference:.1e} at most")
    print(verdict("seconds for all metrics", all_s, TARGET_S, at_least=False))


if __name__ == "__main__":
    main()
