"""embed: compute a vector for every distinct text that has none."""

import json
import time
from pathlib import Path
from typing import Any

from ecgpipe.cache.vectors.reader import Keys, VectorCache
from ecgpipe.embed_text.embedding import Embedded, EmbedJob, embed, missing_texts
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import StoreError
from ecgpipe.files import write_atomic
from ecgpipe.heartbeat import heartbeat
from ecgpipe.processes import Share, share_of_work
from ecgpipe.spreadsheet import csv_bytes
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.local_inputs import local_model
from ecgpipe.stages.stage_result import StageResult
from ecgpipe.stages.texts import bank_sentences
from ecgpipe.stopping import Stop

_LOOK_EVERY_S = 2.0
_PATIENCE_S = 900.0


def run_embed(experiment: Experiment, stop: Stop) -> StageResult:
    """Embed what is missing, then wait for the processes launched together with this one.

    Raises as `ecgpipe.embed_text.embedding.embed`.
    """
    result = run_embed_share(experiment, stop, share_of_work(None))
    if result.summary["left_to_others"]:
        _wait_for_others(experiment, stop)
    return result


def run_embed_share(experiment: Experiment, stop: Stop, share: Share) -> StageResult:
    """Embed what is missing of one share. Raises as `ecgpipe.embed_text.embedding.embed`."""
    with heartbeat(experiment.workspace.status, "embed", share) as set_message:
        result = _embed_share(experiment, stop, share)
        set_message(result.line)
    return result


def _embed_share(experiment: Experiment, stop: Stop, share: Share) -> StageResult:
    done = embed(experiment.texts, embed_job(experiment, share), stop)
    folder = experiment.workspace.embeddings / experiment.fingerprint.short
    summary = {
        "distinct": done.distinct,
        "embedded": done.embedded,
        "left_to_others": done.left_to_others,
        "cut": len(done.cut),
        "folder": str(folder),
    }
    line = _line(done, share)
    if experiment.config.text.wordings == "bank":
        summary["from_bank"] = n = len(_from_bank(experiment))
        line += f"; {n:,} of the texts word findings in other ways (text.wordings: bank)"
    if len(done.cut):
        path = folder / "cut-texts.csv"
        write_atomic(path, _cut_list(done.cut, experiment.open_vectors()))
        summary["cut_list"] = str(path)
        limit = experiment.config.text.max_tokens
        line += f"; {len(done.cut):,} were truncated at text.max_tokens {limit}, listed in {path}"
    return StageResult("embed", done.embedded > 0, line, summary)


def explain(experiment: Experiment) -> str:
    """Describe what the vectors depend on, how many exist, and how other caches differ."""
    job = embed_job(experiment, Share())
    missing = len(missing_texts(experiment.texts, job))
    lines = [
        f"text.model   {experiment.model_files.named}",
        f"texts        {len(experiment.texts):,} distinct, {missing:,} without a vector",
        f"fingerprint  {job.fingerprints[0].digest}",
        f"folder       {job.root / job.fingerprints[0].short}",
        *(f"  {name:<12} {value}" for name, value in job.fingerprints[0].fields.items()),
    ]
    for view, fingerprint in zip(job.config.all_views[1:], job.fingerprints[1:], strict=True):
        lines += [f"also filled  {job.root / fingerprint.short}", f"  {view}"]
    ours = {fingerprint.short for fingerprint in job.fingerprints}
    for path in sorted(job.root.glob("*/fingerprint.json")):
        if path.parent.name not in ours:
            lines += [f"other cache  {path.parent}", *_differences(job, path)]
    return "\n".join(lines)


def embed_job(experiment: Experiment, share: Share) -> EmbedJob:
    """Collect the experiment's model, views and caches."""
    return EmbedJob(
        files=local_model(experiment.model_files, experiment.fingerprint),
        config=experiment.config.text,
        root=experiment.workspace.embeddings,
        fingerprints=tuple(map(experiment.fingerprint_of, experiment.config.text.all_views)),
        share=share,
    )


def _from_bank(experiment: Experiment) -> set[str]:
    """The texts that only the bank of wordings asks for."""
    said = bank_sentences(experiment.taxonomy, experiment.config.text)
    others = {sentence for sentences in said.values() for sentence in sentences[1:]}
    return others & set(experiment.texts)


def _line(done: Embedded, share: Share) -> str:
    if done.embedded:
        line = f"{done.embedded:,} texts embedded, {done.already_there:,} already had a vector"
    elif done.left_to_others:
        line = f"nothing to do: all texts of share {share} have a vector"
    else:
        line = f"nothing to do: all {done.distinct:,} distinct texts have a vector"
    if done.left_to_others:
        line += f"; {done.left_to_others:,} of other shares had none when this one started"
    return line


def _cut_list(cut: Keys, cache: VectorCache) -> bytes:
    """List the keys of truncated texts, never the texts themselves."""
    n_tokens = cache.n_tokens(cache.rows(cut)).tolist()
    rows = ((key.tobytes().hex(), n) for key, n in zip(cut, n_tokens, strict=True))
    return csv_bytes(("key", "n_tokens_read"), rows)


def _differences(job: EmbedJob, path: Path) -> list[str]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return [f"  {line}" for line in job.fingerprints[0].differences(found)]
    except (OSError, ValueError, AttributeError):
        return ["  its fingerprint.json cannot be read"]


def _wait_for_others(experiment: Experiment, stop: Stop) -> None:
    """Wait until every share's vectors are on disk.

    Raises:
        StoreError: no vector was added for 15 minutes.
    """
    keys = keys_of(experiment.texts)
    left, since = len(keys) + 1, time.monotonic()
    while not stop:
        now_left = len(experiment.open_vectors().missing(keys))
        if now_left == 0:
            return
        if now_left < left:
            left, since = now_left, time.monotonic()
        if time.monotonic() - since > _PATIENCE_S:
            raise StoreError(
                f"{left:,} texts of other processes still have no vector, and none was added for"
                f" {_PATIENCE_S / 60:.0f} minutes. Check their logs, then run the command again."
            )
        time.sleep(_LOOK_EVERY_S)
