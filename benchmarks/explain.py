"""Whether `--explain` points at what causes a finding, on simulated ECGs, whose causes are known.

A model is trained as in `make demo`, on fewer patients and with the recommended preset. ECGs of new
patients, with one finding each, are explained.

Leads: the cause is found if at least two of the leads that examples/simulated/README.md names for
the finding are among the four (a third) with the largest shares; a sign needs two leads. Beats: if
every premature beat is among the third of all beats whose hiding costs most. Chance is the share of
random rankings that would do as well. The control: the same ECGs and untrained models of the same
shape.

Target: found in >= 80 % of all cases, and by untrained models no more often than by chance.

    OMP_NUM_THREADS=1 python -m benchmarks.explain
"""

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.report import as_lines, conditions, table, verdict
from ecgpipe.apply_model.explain.occlusion import TENTH_S, ScoreWindows, lead_shares, tenth_drops
from ecgpipe.config.file import load_config
from ecgpipe.evaluate.metrics.metrics import wilson_interval
from ecgpipe.read_ecg.signal.record import LEADS, EcgRecord
from ecgpipe.read_ecg.signal.window import to_window
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.model_bridge import ScoringModel
from ecgpipe.train_ecg.trained_model import ModelEncoder, load_model
from ecgpipe.train_ecg.two_towers import TwoTowers, initialised

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "simulated"))
import simulator
from simulator import findings as f

DEMO = Path(__file__).resolve().parents[1] / "examples" / "simulated"
FIRST_NEW_PATIENT = 100_000
SEED = 7
BEAT_S = (-0.1, 0.45)
"""Of a beat, from the onset of its QRS."""

LEADS_OF = {
    f.ATRIAL_FLUTTER: ("II", "III", "aVF"),
    f.COMPLETE_RBBB: ("I", "V1", "V6"),
    f.COMPLETE_LBBB: ("I", "V1", "V6"),
    f.LEFT_HYPERTROPHY: ("V1", "V5", "V6"),
    f.ANTERIOR_INFARCTION: ("V2", "V3", "V4"),
    f.LATERAL_INFARCTION: ("I", "aVL", "V5", "V6"),
    f.INFERIOR_INFARCTION: ("II", "III", "aVF"),
    f.ST_DEPRESSION: ("I", "II", "V4", "V5", "V6"),
}
BEATS_OF = (f.VENTRICULAR_PREMATURE, f.ATRIAL_PREMATURE)

Window = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Case:
    """One explained ECG."""

    found: bool
    chance: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, explain, print."""
    options = _options(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        experiment = trained(Path(options.work or folder), options)
        model, _ = load_model(experiment.workspace.model)
        untrained = [initialised(model.shape, seed=1000 + n) for n in range(options.untrained)]
        for other in untrained:
            other.take_text_map(model)
        rows, trained_cases, other_cases = [], [], []
        for finding in (*LEADS_OF, *BEATS_OF):
            of_trained, of_others = explained(experiment, model, untrained, finding, options.cases)
            trained_cases += of_trained
            other_cases += of_others
            rows.append(_row(simulator.JAPANESE[finding], of_trained, of_others))
            print(" ".join(rows[-1]), file=sys.stderr, flush=True)
        rows.append(_row("all", trained_cases, other_cases))
    print(table(["finding", "n", "found", "chance", "untrained: n", "found"], rows))
    print(verdict("found in %", 100 * _rate(trained_cases), 80))
    chance = 100 * float(np.mean([case.chance for case in other_cases]))
    low = 100 * wilson_interval(_rate(other_cases), len(other_cases))[0]
    print(verdict("untrained, lower end of the interval, in %", low, chance, at_least=False))
    print(as_lines(conditions(cases=options.cases, patients=options.patients)))
    return 0


def trained(work: Path, options: argparse.Namespace) -> Experiment:
    """The experiment, prepared, embedded and trained in `work`, unless it already is."""
    ecgs = work.resolve() / "ecgs"
    settings = [
        "name=explain",
        f"work_dir={work.resolve()}",
        f"data.sources=[{{kind: table, table: {ecgs / 'records.csv'}}}]",
        "train.preset=recommended",
        f"train.epochs={options.epochs}",
    ]
    if not (ecgs / "records.csv").exists():
        make = [str(DEMO / "make_ecgs.py"), str(ecgs), "--patients", str(options.patients)]
        subprocess.run([sys.executable, *make], check=True, stdout=sys.stderr)
    config = DEMO / "pipeline.yaml"
    for stage in ("prepare", "embed", "train"):
        command = [sys.executable, "-m", "ecgpipe", stage, "-c", str(config)]
        command += [word for setting in settings for word in ("--set", setting)]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return Experiment(load_config(config, settings))


def explained(
    experiment: Experiment,
    model: TwoTowers,
    untrained: Sequence[TwoTowers],
    finding: int,
    n: int,
) -> tuple[list[Case], list[Case]]:
    """New patients' ECGs with this finding alone, explained by the model and by untrained ones."""
    scores = [scorer(experiment, each, finding) for each in (model, *untrained)]
    cases: tuple[list[Case], list[Case]] = [], []
    for number in range(n):
        patient = FIRST_NEW_PATIENT + number
        ecg = simulator.simulate_record(SEED, patient, 0, {finding})
        record = EcgRecord(ecg.signal_uv.astype(np.float32) / 1000, 500.0)
        window, _ = to_window(record, experiment.config.data)
        other = scores[1 + number % len(untrained)]
        for score, into in zip((scores[0], other), cases, strict=True):
            if finding in LEADS_OF:
                into.append(leads_case(lead_shares(score, window)[:, 0], LEADS_OF[finding]))
            else:
                drops = tenth_drops(score, window, experiment.config.data.rate_hz)[:, 0]
                into.append(beats_case(drops, ecg.truth))
    return cases


def scorer(experiment: Experiment, model: TwoTowers, finding: int) -> ScoreWindows:
    """Cosines (n, 1) of windows and the finding's prompt."""
    encoder = ModelEncoder(model, experiment.signals.read)
    text = ScoringModel(encoder, experiment.open_vectors(), experiment.config.text)
    prompt_1D = text.encode_text([simulator.JAPANESE[finding]])

    def score(windows: Window) -> npt.NDArray[np.float32]:
        ecgs = ModelEncoder(model, windows.__getitem__).encode_ecg(np.arange(len(windows)))
        cosines: npt.NDArray[np.float32] = ecgs @ prompt_1D.T
        return cosines

    return score


def leads_case(shares_L: npt.NDArray[np.floating], right: Sequence[str]) -> Case:
    """Whether at least two of the right leads are among the best third."""
    best = {LEADS[lead] for lead in np.argsort(-shares_L)[: len(LEADS) // 3]}
    return Case(len(best & set(right)) >= 2, chance_of(len(right), 2, len(LEADS)))


def beats_case(drops_T: npt.NDArray[np.floating], truth: "simulator.Truth") -> Case:
    """Whether all premature beats are among the best third of beats."""
    early_s = np.concatenate(
        [truth.premature_qrs_onsets_s, truth.premature_p_onsets_s + (truth.pr_s or 0)]
    )
    beats_s = np.unique(np.concatenate([truth.qrs_onsets_s, early_s]).round(3))
    middles_s = (np.arange(len(drops_T)) + 0.5) * TENTH_S
    value = []
    for beat_s in beats_s:
        inside = (middles_s >= beat_s + BEAT_S[0]) & (middles_s < beat_s + BEAT_S[1])
        value.append(drops_T[inside].mean() if inside.any() else -math.inf)
    best = beats_s[np.argsort(-np.array(value))[: len(beats_s) // 3]]
    return Case(
        bool(np.isin(early_s.round(3), best).all()),
        chance_of(len(early_s), len(early_s), len(beats_s)),
    )


def chance_of(right: int, needed: int, n: int) -> float:
    """The probability that at least `needed` of `right` things are among a random third of n."""
    third = n // 3
    total = 0
    for k in range(needed, min(right, third) + 1):
        total += math.comb(right, k) * math.comb(n - right, third - k)
    return total / math.comb(n, third)


def _row(name: str, trained_cases: Sequence[Case], others: Sequence[Case]) -> list[str]:
    chance = np.mean([case.chance for case in trained_cases])
    return [
        name,
        str(len(trained_cases)),
        _with_interval(trained_cases),
        f"{chance:.0%}",
        str(len(others)),
        _with_interval(others),
    ]


def _rate(cases: Sequence[Case]) -> float:
    return float(np.mean([case.found for case in cases]))


def _with_interval(cases: Sequence[Case]) -> str:
    low, high = wilson_interval(_rate(cases), len(cases))
    return f"{_rate(cases):.0%} ({low:.0%}-{high:.0%})"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=800, help="to train on")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--cases", type=int, default=12, help="of each finding")
    parser.add_argument("--untrained", type=int, default=12, help="models, by turns")
    parser.add_argument("--work", help="a folder to keep, or the one of an earlier call")
    parser.add_argument("--miniature", action="store_true", help="only whether it runs at all")
    options = parser.parse_args(arguments)
    if options.miniature:
        options.patients, options.epochs, options.cases, options.untrained = 60, 1, 1, 1
    return options


if __name__ == "__main__":
    sys.exit(main())
