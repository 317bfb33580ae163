"""`ecgpipe embed`, `verify` and `vectors` on a command line, as a batch job meets them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from toy_experiment import Experiment, python, worked


def parts(experiment: Experiment) -> list[Path]:
    return sorted((experiment.folder / "work" / "embeddings").glob("*/part-*.h5"))


def said(experiment: Experiment, *arguments: str) -> str:
    code, _, err = experiment.run(*arguments)
    assert code == 0, err
    return err


def refused(experiment: Experiment, *arguments: str, code: int = 1) -> str:
    got, _, err = experiment.run(*arguments)
    assert got == code, err
    return err


def test_shards_fill_the_cache_that_an_unsharded_run_uses(fresh: Experiment) -> None:
    said(fresh, "prepare")
    running = [fresh.start("embed", "--shard", f"{i}/2", "--json") for i in range(2)]
    done = [json.loads(process.communicate(timeout=300)[0])["embed"] for process in running]
    assert sum(shard["embedded"] for shard in done) == done[0]["distinct"]
    assert "nothing to do: all" in said(fresh, "embed")


def test_processes_launched_together_divide_the_texts(fresh: Experiment) -> None:
    said(fresh, "prepare")
    process = fresh.start("embed", launcher=(*python(2), "-m", "ecgpipe"))
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert len(parts(fresh)) == 2
    verified = json.loads(fresh.run("verify", "--json")[1])["verify"]
    rows = sum(int(h5py.File(path, "r").attrs["rows"]) for path in parts(fresh))
    assert (
        verified["vectors"]
        == rows
        == json.loads(fresh.run("embed", "--json")[1])["embed"]["distinct"]
    )


def test_a_time_limit_stops_with_everything_saved(fresh: Experiment) -> None:
    said(fresh, "prepare")
    err = refused(fresh, "embed", "--max-minutes", "0.0001", code=75)
    assert "Stopped by --max-minutes 0.0001 while embedding" in err
    assert "texts embedded" in said(fresh, "embed")


def test_a_schedulers_signal_ends_with_75(experiment: Experiment) -> None:
    # A model that never ends: the signal must be heard between batches.
    slow = (
        "import time, sys\n"
        "from ecgpipe.embed_text import language_model as lm\n"
        "real = lm.LanguageModel.launch\n"
        "def launch(*a, **k):\n"
        "    print('batch', file=sys.stderr, flush=True); time.sleep(0.5); return real(*a, **k)\n"
        "lm.LanguageModel.launch = launch\n"
        "from ecgpipe.commands.main import main\n"
        "main()"
    )
    process = experiment.start(
        "embed", "--set", "text.pooling=mean", "--set", "text.max_tokens_per_batch=64",
        launcher=(sys.executable, "-c", slow),
    )  # fmt: skip
    assert process.stderr is not None
    while "batch" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGXCPU)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "Stopped by SIGXCPU while embedding" in err
    assert "texts embedded" in said(experiment, "embed", "--set", "text.pooling=mean")


def test_explain_shows_the_fingerprint_and_how_other_caches_differ(experiment: Experiment) -> None:
    code, out, err = experiment.run("embed", "--explain", "--set", "text.pooling=mean")
    assert code == 0, err
    for line in ("pooling      mean", "pooling: found 'last_token', wanted 'mean'", "other cache"):
        assert line in out, out
    assert "洞" not in out
    assert worked(experiment.did()) == []


def test_views_are_filled_together_and_trained_on_without_embedding(fresh: Experiment) -> None:
    views = "text.views=[{pooling: mean}, {layer: 1, pooling: mean}]"
    said(fresh, "prepare")
    said(fresh, "embed", "--set", views)
    assert len(parts(fresh)) == 3
    assert "nothing to do" in said(fresh, "embed", "--set", "text.pooling=mean")
    err = said(fresh, "embed", "--set", "text.pooling=mean", "--set", "text.layer=1")
    assert "nothing to do" in err


def test_caches_of_two_models_coexist(experiment: Experiment, tiny_bert: Path) -> None:
    before = parts(experiment)
    said(experiment, "embed", "--set", f"text.model={tiny_bert}")
    assert set(before) < set(parts(experiment))
    assert worked(experiment.did()) == []


def test_verify_moves_a_bad_part_aside_and_embed_heals_it(experiment: Experiment) -> None:
    assert "are as they were written" in said(experiment, "verify")
    (part,) = parts(experiment)
    content = bytearray(part.read_bytes())
    content[5000] ^= 1
    part.write_bytes(content)
    assert "were moved" not in refused(experiment, "verify", "--dry-run")
    err = refused(experiment, "verify")
    assert part.name in err
    assert "Damaged parts were moved to bad/" in err
    assert "texts have no vector" in err
    assert worked(experiment.did()) == ["embed"]
    assert "every text has one" in said(experiment, "verify")


def test_compacting_changes_nothing_but_the_number_of_parts(fresh: Experiment) -> None:
    said(fresh, "prepare")
    for i in range(3):
        said(fresh, "embed", "--shard", f"{i}/3")
    assert "3 parts became 1" in said(fresh, "vectors", "compact")
    assert "nothing to do" in said(fresh, "embed")


def test_exported_vectors_can_be_imported_again(experiment: Experiment, tmp_path: Path) -> None:
    file = tmp_path / "vectors.h5"
    assert "with their texts" in said(experiment, "vectors", "export", str(file), "--with-texts")
    (part,) = parts(experiment)
    part.unlink()
    assert "vectors added, 0 already existed" in said(experiment, "vectors", "import", str(file))
    assert worked(experiment.did()) == []
    err = refused(experiment, "vectors", "import", str(file), "--set", "text.pooling=mean")
    assert "embed --explain" in err


def test_imported_vectors_train_a_model(experiment: Experiment, tmp_path: Path) -> None:
    said(experiment, "vectors", "export", str(tmp_path / "ours.h5"), "--with-texts")
    with h5py.File(tmp_path / "ours.h5") as ours, h5py.File(tmp_path / "api.h5", "w") as theirs:
        theirs["text"] = ours["text"][:]
        theirs["vectors"] = np.random.default_rng(0).normal(size=(len(ours["text"]), 7))
    elsewhere = ("--set", "text.model=imported:api")
    err = refused(experiment, "run", *elsewhere)
    assert "have no vector of imported:api" in err
    assert "vectors added" in said(
        experiment, "vectors", "import", str(tmp_path / "api.h5"), *elsewhere
    )
    assert worked(experiment.did(*elsewhere)) == ["train", "eval"]


def test_truncated_texts_are_listed_by_key_and_never_by_text(experiment: Experiment) -> None:
    err = said(experiment, "embed", "--set", "text.max_tokens=70")
    assert "were truncated at text.max_tokens 70, listed in" in err
    listed = next((experiment.folder / "work" / "embeddings").glob("*/cut-texts.csv"))
    header, *rows = listed.read_text("utf-8-sig").splitlines()
    assert header == "key,n_tokens_read"
    assert rows
    assert all(len(row.split(",")[0]) == 64 and row.endswith(",70") for row in rows)


def test_a_malformed_shard_is_a_usage_error(experiment: Experiment) -> None:
    assert "counted from 0" in refused(experiment, "embed", "--shard", "3/3", code=2)


def test_a_fetch_without_a_commit_is_refused(experiment: Experiment) -> None:
    command = [sys.executable, "-m", "ecgpipe", "fetch-model", "a/b", "--revision", "main",
               "--to", "m"]  # fmt: skip
    done = subprocess.run(command, cwd=experiment.folder, capture_output=True, text=True)
    assert done.returncode == 2
    assert "40 hex digits" in done.stderr


def test_an_interrupt_while_the_language_model_loads_is_answered_within_two_seconds(
    fresh: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fresh.run("prepare")[0] == 0

    def load(*_: object) -> None:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        time.sleep(30)

    monkeypatch.setattr("ecgpipe.embed_text.language_model._load", load)
    began = time.monotonic()
    code, _, err = fresh.run("embed")
    assert code == 75, err
    assert "Stopped by SIGINT while the language model was loading" in err
    assert time.monotonic() - began < 15  # with the imports
