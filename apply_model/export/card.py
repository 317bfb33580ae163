"""README.md of an exported folder: the model's card.

Owns its words and its front matter (Hugging Face's model card). Every figure is one of the run's
report, with its n and interval. Knows no record and no path; what only a person knows, the licence
and the intended use, it asks.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from ecgpipe.apply_model.applied_task import AppliedClass, AppliedTask
from ecgpipe.apply_model.model_content import ModelContent
from ecgpipe.apply_model.reach import Reach
from ecgpipe.evaluate.table import area, percent, written
from ecgpipe.evaluate.words import metric_words
from ecgpipe.read_ecg.signal.record import LEADS

_METRICS = ("hit@1_any", "hit@1_macro", "hit@5_any", "macro_auroc", "macro_auprc", "macro_f1")


def card(content: ModelContent) -> str:
    """The whole card, in Markdown with YAML front matter."""
    front = yaml.safe_dump(_front_matter(content), allow_unicode=True, sort_keys=False)
    parts = [f"---\n{front}---", f"# {content.name}", *_introduction(content), *_use(content)]
    parts += _data(content)
    for task in content.tasks.values():
        parts += _results(task)
    parts += [_other_words(content), *_preprocessing(content), _FILES, *_licence(content)]
    return "\n\n".join(parts) + "\n"


def _front_matter(content: ModelContent) -> dict[str, Any]:
    model = content.text.model
    is_hub_id = model.count("/") == 1 and ":" not in model
    return {
        "language": ["ja", "en"],
        "license": "unknown",
        "library_name": "ecgpipe",
        "tags": ["ecg", "12-lead-ecg", "contrastive-learning", "zero-shot", "onnx"],
        **({"base_model": model} if is_hub_id else {}),
        "model-index": [
            {
                "name": content.name,
                "results": [_result(content, task) for task in content.tasks.values()],
            }
        ],
    }


def _result(content: ModelContent, task: AppliedTask) -> dict[str, Any]:
    found = task.evaluation
    return {
        "task": {"type": "zero-shot-classification", "name": task.title["en"]},
        "dataset": {
            "type": "+".join(content.about["sources"]),
            "name": f"{found['split']} part of the run's own data, {found['n']:,} ECGs",
            "split": found["split"],
        },
        "metrics": [
            {
                "type": name,
                "name": f"{_label(task, name)}: {written(name, found['summary'][name])}",
                "value": found["summary"][name]["value"],
            }
            for name in _METRICS
            if (found["summary"].get(name) or {}).get("value") is not None
        ],
    }


def _introduction(content: ModelContent) -> Iterator[str]:
    if content.notice:
        yield f"**{content.notice}**"
    yield (
        "**For research. Not a medical device: nothing it answers is a diagnosis.**"
        " 研究用であり、医療機器ではありません。出力は診断ではありません。"
    )
    model, text = content.about["training"], content.text
    yield (
        f"A {model['encoder']} for 12-lead ECGs, trained with ecgpipe against the vectors of the"
        f" frozen language model {text.model}. It scores any finding that is written as a sentence:"
        " a score is the cosine between the vector of an ECG and that of a sentence. Prompts:"
        f" {text.prompt_in('ja')} / {text.prompt_in('en')}"
    )
    yield (
        "**Intended use**: research on retrospective ECGs like those it was trained on, by people"
        " who can check its answers. **Not** for decisions about patients, for other recordings"
        " than resting 12-lead ECGs, or for findings without a threshold in the tables below."
        " Another hospital, device or population needs an evaluation of its own."
    )


def _use(content: ModelContent) -> Iterator[str]:
    yield "## Use"
    yield (
        "```python\n"
        "import ecgpipe\n\n"
        'model = ecgpipe.load_model("this-folder")\n'
        'for finding in model.score(model.read("recording.dcm"))[:5]:\n'
        '    print(finding.names["en"], finding.probability, finding.above_threshold)\n'
        "```"
    )
    contract, task = content.contract, next(iter(content.tasks.values()), None)
    if task is None:
        return
    yield (
        "Or with NumPy and ONNX Runtime alone, in this folder: `ecg.npy` holds float32 millivolts,"
        f" (ECGs, 12, {contract.samples}) at {contract.rate_hz} Hz, leads {', '.join(LEADS)}, NaN"
        " where there is no reading. Resample, and cut or pad with NaN, before."
    )
    yield f"```python\n{numpy_lines(task)}```"


def numpy_lines(task: AppliedTask) -> str:
    """The program that scores an array of millivolts with NumPy and ONNX Runtime alone."""
    several = any(len(texts) > 1 for texts in task.wordings(task.language))
    return _NUMPY_LINES.format(
        starts=_STARTS if several else "",
        mean=_MEAN if several and task.ensemble == "mean" else "",
        best=_BEST if several and task.ensemble == "max" else "",
    )


_NUMPY_LINES = """\
import json
from pathlib import Path
import numpy as np
import onnxruntime

task = json.loads(Path("config.json").read_text("utf-8"))["tasks"][0]
raw = Path("prompts.safetensors").read_bytes()
start = 8 + int.from_bytes(raw[:8], "little")
entry = json.loads(raw[8:start])[f"{{task['name']}}/{{task['language']}}/classes"]
first, last = entry["data_offsets"]
prompts = np.frombuffer(raw[start + first : start + last], "<f4").reshape(entry["shape"])
{starts}{mean}encoder = onnxruntime.InferenceSession("encoder.onnx")
scores = encoder.run(None, {{"signal_mv": np.load("ecg.npy")}})[0] @ prompts.T
{best}for row in scores:
    for n in np.argsort(-row)[:5]:
        print(task["classes"][n]["id"], task["classes"][n]["names"]["en"], row[n])
"""
_STARTS = """\
counts = [len(c["wordings"][task["language"]]) for c in task["classes"]]
starts = np.cumsum([0, *counts[:-1]])
"""
_MEAN = """\
prompts = np.add.reduceat(prompts, starts)
prompts /= np.linalg.norm(prompts, axis=1, keepdims=True)
"""
_BEST = "scores = np.maximum.reduceat(scores, starts, axis=1)\n"


def _data(content: ModelContent) -> Iterator[str]:
    data, about = content.about["data"], content.about
    yield "## Data"
    splits = ", ".join(f"{name} {n:,}" for name, n in data["splits"].items())
    yield (
        f"{data['prepared']:,} ECGs of {data['patients']:,} patients ({splits}), from sources of"
        f" kind {', '.join(about['sources'])}; {data['rejected']:,} recordings could not be used."
        f" Patients in more than one part: {about['patients_in_several_parts']:,}. The text of an"
        f" ECG was its {about['text_source']}. Thresholds and calibration were chosen on the val"
        " part alone."
    )
    training = about["training"]
    yield (
        f"Training: {training['epochs']} epochs, loss {training['loss']}, texts {training['text']};"
        f" the epoch was chosen by {training['best_by']} on the val part"
        f" ({training['best_epoch']}). Evaluated with ecgpipe {about['evaluated']['ecgpipe']},"
        f" {about['evaluated']['created']}."
    )


def _results(task: AppliedTask) -> Iterator[str]:
    found = task.evaluation
    yield f"## {task.title['en']} · {task.title['ja']}"
    yield (
        f"Task `{task.name}`, {task.kind}, prompts in {task.language}: {found['n']:,} ECGs of the"
        f" {found['split']} part, with 95 % intervals by resampling patients."
    )
    baseline = found["baselines"].get("random_encoder", {}).get("summary", {})
    rows = [
        [
            _label(task, name),
            written(name, found["summary"][name]),
            written(name, baseline.get(name)),
            f"{found['n']:,}",
        ]
        for name in _METRICS
        if name in found["summary"]
    ]
    yield _table(["Metric", "Model", "Untrained encoder", "n"], rows)
    yield _calibration(task)
    second = "Known" if task.kind == "partly_known" else "hit@1"
    heads = ["id", "Finding", "所見", "n", "AUROC", second, "Threshold", "n val", "Calibrated"]
    yield _table(heads, [_class_row(task, c) for c in task.classes])


def _calibration(task: AppliedTask) -> str:
    calibration = task.evaluation["calibration"]
    least = f"fewer than {task.min_positives} validation ECGs"
    if calibration is None:
        return "Not calibrated: there was no validation ECG to fit on."
    return (
        f"Expected calibration error {area(calibration['ece'])}, before calibration"
        f" {area(calibration['ece_uncalibrated'])} ({calibration['method']}, fitted on"
        f" {calibration['n_val']:,} validation ECGs, measured on {task.evaluation['n']:,}). A"
        f" threshold is the cosine of the best F1 on validation ECGs; `none`: {least}."
    )


def _other_words(content: ModelContent) -> str:
    """What was measured of questions in words that training did not read."""
    reach, begins = Reach.of(content.about), "## Questions in other words\n\n"
    if reach is None:
        return (
            f"{begins}How far a wording may lie from the texts trained on was **not measured**: the"
            " evaluation scored none that training had not read. An answer to a question in other"
            " words may be worth nothing."
        )
    measured = f"{begins}{reach.tried:,} wordings that training had not read were scored: "
    if reach.limit is None:
        return f"{measured}not even those nearest to a text trained on were better than chance."
    return (
        f"{measured}better than chance were those up to {reach.limit:.3f} from the nearest text"
        " trained on (1 - cosine, where the model places texts). `predict --ask` warns beyond that."
    )


def _class_row(task: AppliedTask, c: AppliedClass) -> list[str]:
    found = task.evaluation["classes"][c.id]
    calibrated = task.scale is not None if task.kind == "single_label" else c.slope is not None
    return [
        c.id,
        c.names["en"],
        c.names["ja"],
        f"{found['n']:,}",
        area(found["auroc"]),
        f"{found['n_known']:,}" if "n_known" in found else percent(found["hit@1"]),
        "none" if c.threshold is None else f"{c.threshold:.3f}",
        f"{c.n_val:,}",
        "yes" if calibrated else "none",
    ]


def _preprocessing(content: ModelContent) -> Iterator[str]:
    contract = content.contract
    yield "## Preprocessing"
    yield (
        f"Version {contract.version}. Leads {', '.join(contract.leads)}, at least"
        f" {contract.min_leads} of them, found by name; missing limb leads are derived."
        f" {contract.rate_hz} Hz, the {contract.crop} {contract.duration_s:g} s; shorter recordings"
        f" are padded with `no reading`, those below {contract.min_duration_s:g} s refused. Gaps of"
        f" up to {contract.max_missing_fraction:.0%} of a lead are filled. Whole µV; normalisation"
        f" `{content.shape['normalisation']}`. ecgpipe does and enforces all this itself."
    )


_FILES = """\
## Files

`model.safetensors` weights; `encoder.onnx` the same ECG encoder from millivolts on;
`prompts.safetensors` vectors of all prompts in both languages; `texts.safetensors` to tell how far
a question lies from the texts trained on; `taxonomy.csv` findings; `config.json` all else;
`manifest.json` SHA-256 of each. Nothing is ever unpickled.

No ECG, report or patient id is in this folder. `patients.json`, if present, holds salted digests of
patient ids, so that training can go on without meeting a patient of the val or test part. Somebody
who has a patient's id can test whether it is among them: keep the file as you keep the list of who
was examined, or export without it. `texts.safetensors` holds vectors of texts that at least five
patients share, and no text."""


def _licence(content: ModelContent) -> Iterator[str]:
    yield "## Licence"
    yield (
        "**To be answered before this folder is passed on** (then set `license` at the top):"
        f" under which terms may a model be shared that was trained against {content.text.model}"
        " (see that model's licence), and on these data (see the data's terms, and your ethics"
        " committee)?"
    )


def _label(task: AppliedTask, name: str) -> str:
    return str(metric_words(task.kind, name)["en"])


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
