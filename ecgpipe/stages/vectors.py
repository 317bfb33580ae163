"""Maintain an experiment's text vectors: verify, compact, export, import."""

from pathlib import Path

import numpy as np

from ecgpipe.cache.vectors.exchange import read_export, write_export
from ecgpipe.cache.vectors.reader import VectorCache, part_paths
from ecgpipe.cache.vectors.upkeep import Verified, compact, verify
from ecgpipe.cache.vectors.writer import VectorWriter
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import StoreError
from ecgpipe.files import canonical_json
from ecgpipe.progress import progress
from ecgpipe.provenance import provenance
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.stage_result import StageResult


def verify_vectors(experiment: Experiment, quarantine: bool) -> StageResult:
    """Check every row of every view's cache, and that no text lacks a vector.

    Raises:
        StoreError: a part was bad, or a text has no vector; the message says which.
    """
    keys = keys_of(experiment.texts)
    root = experiment.workspace.embeddings
    found: list[Verified] = []
    problems: list[str] = []
    for fingerprint in map(experiment.fingerprint_of, experiment.config.text.all_views):
        folder = root / fingerprint.short
        with progress(f"verify {fingerprint.short}", len(part_paths(folder)), "parts") as tick:
            checked = verify(root, fingerprint, quarantine, tick)
        found.append(checked)
        problems += checked.bad.values()
        if quarantine or not checked.bad:
            missing = len(VectorCache.open(root, fingerprint).missing(keys))
            if missing:
                problems.append(f"{missing:,} texts have no vector in {folder}.")
    if problems:
        moved = " Damaged parts were moved to bad/." if quarantine else ""
        raise StoreError("\n  - ".join([f"{len(problems)} problems.{moved}", *problems]))
    rows, parts = sum(check.rows for check in found), sum(check.parts for check in found)
    line = f"{rows:,} vectors in {parts:,} parts are as they were written; every text has one"
    return StageResult("verify", False, line, {"vectors": rows, "parts": parts})


def compact_vectors(experiment: Experiment) -> StageResult:
    """Merge the parts of every view's cache. Raises as `upkeep.compact`."""
    root, made_by = experiment.workspace.embeddings, {"provenance": canonical_json(provenance())}
    before = after = 0
    for fingerprint in map(experiment.fingerprint_of, experiment.config.text.all_views):
        before += len(part_paths(root / fingerprint.short))
        after += compact(root, fingerprint, made_by)
    line = f"{before:,} parts became {after:,}"
    return StageResult("compact", True, line, {"before": before, "after": after})


def export_vectors(experiment: Experiment, path: Path, with_texts: bool, bits: bool) -> StageResult:
    """Write the vectors of the experiment's texts to one plain HDF5 file.

    Raises:
        StoreError: a text has no vector, or the file exists or cannot be written.
    """
    keys, cache = keys_of(experiment.texts), experiment.open_vectors()
    rows = cache.rows(keys)
    if missing := int((rows < 0).sum()):
        raise StoreError(f"{missing:,} of {len(keys):,} texts have no vector. Run `ecgpipe embed`.")
    named = {key.tobytes(): text for key, text in zip(keys, experiment.texts, strict=True)}
    made_by = {
        "model": experiment.model_files.named,
        "prompt": experiment.config.text.prompt,
        "provenance": canonical_json(provenance()),
    }
    write_export(path, cache, rows, named if with_texts else None, bits, made_by)
    line = f"{len(rows):,} vectors written to {path}" + (", with their texts" if with_texts else "")
    return StageResult("export", True, line, {"vectors": len(rows), "file": str(path)})


def import_vectors(experiment: Experiment, path: Path) -> StageResult:
    """Add vectors from a file to the cache of the view that is trained on.

    Raises:
        StoreError: the file is unusable.
        CacheMismatchError: it was made with a different model or setting.
    """
    rows = read_export(path, experiment.fingerprint)
    cache = experiment.open_vectors()
    if len(cache) and len(rows.keys) and cache.dim != rows.vectors.shape[1]:
        raise StoreError(
            f"{path} holds vectors of width {rows.vectors.shape[1]}, but the stored ones have width"
            f" {cache.dim}."
        )
    _, first = np.unique(rows.keys.view("V32").reshape(-1), return_index=True)
    new = np.sort(first[cache.rows(rows.keys[first]) < 0])
    made_by = {"imported_from": path.name, "provenance": canonical_json(provenance())}
    writer = VectorWriter(experiment.workspace.embeddings, experiment.fingerprint, made_by)
    writer.add(rows.chosen(new))
    writer.seal()
    keys = keys_of(experiment.texts)
    left = len(experiment.open_vectors().missing(keys))
    line = f"{len(new):,} vectors added, {len(rows.keys) - len(new):,} already existed"
    line += f"; {left:,} of this experiment's texts still have none" if left else ""
    return StageResult("import", len(new) > 0, line, {"added": len(new), "missing": left})
