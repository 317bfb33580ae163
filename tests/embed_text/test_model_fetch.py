"""Fetching a model for machines without internet: from a hub on this machine, by the command."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fake_hub
import numpy as np
import pytest
from fake_hub import COMMIT, NAME, FakeHub

from ecgpipe.cache.vectors.reader import VectorCache
from ecgpipe.config.text import TextConfig
from ecgpipe.embed_text.embedding import EmbedJob, embed
from ecgpipe.embed_text.model_files import MANIFEST, find_model, fingerprint_of
from ecgpipe.embed_text.prompts import keys_of
from ecgpipe.errors import ModelError
from ecgpipe.stopping import Stop

SENTENCES = ["この心電図は洞調律を示しています。", "この心電図は左室肥大を示しています。"]
WEIGHTS = "model.safetensors"
NOT_FETCHED = {"pytorch_model.bin": b"pickle", "modeling_evil.py": b"raise SystemExit(66)"}


@pytest.fixture
def hub(tiny_llama: Path) -> Iterator[FakeHub]:
    with fake_hub.running(FakeHub(fake_hub.files_of(tiny_llama) | NOT_FETCHED)) as hub:
        yield hub


@pytest.fixture(scope="session")
def fetched_once(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fetched folder; tests change a copy of it."""
    folder = tmp_path_factory.mktemp("fetched") / "model"
    with fake_hub.running(FakeHub(fake_hub.files_of(tiny_llama) | NOT_FETCHED)) as hub:
        assert fetch(hub, folder).returncode == 0
    return folder


@pytest.fixture
def fetched(fetched_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fetched_once, tmp_path / "model"))


def environment(hub: FakeHub, folder: Path, **more: str) -> dict[str, str]:
    """The hub's address is read when huggingface_hub is imported: hence processes of their own."""
    inherited = {k: v for k, v in os.environ.items() if not k.upper().endswith("_PROXY")}
    return inherited | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(folder.parent / "hf-home"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        **more,
    }


def command(folder: Path, name: str, revision: str, patient: bool) -> list[str]:
    hurried = (
        "import time; time.sleep = lambda s: None; from ecgpipe.commands.main import main; main()"
    )
    program = ["-m", "ecgpipe"] if patient else ["-c", hurried]
    arguments = ["fetch-model", name, "--revision", revision, "--to", str(folder)]
    return [sys.executable, *program, *arguments]


def fetch(
    hub: FakeHub,
    folder: Path,
    name: str = NAME,
    revision: str = COMMIT,
    patient: bool = True,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """Run the command; an impatient one does not wait between tries, of which there are many."""
    return subprocess.run(
        command(folder, name, revision, patient),
        env=environment(hub, folder, **more),
        capture_output=True,
        text=True,
        timeout=120,
    )


def refusal(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """What a person reads of a command that failed: one message and no traceback."""
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stderr
    assert done.stderr.count("ecgpipe: ") == 1
    message = done.stderr[done.stderr.index("ecgpipe: ") :]
    assert "\n\n" not in message, "not one paragraph"
    return message


def manifest_of(folder: Path) -> dict[str, object]:
    manifest: dict[str, object] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return manifest


def digest(folder: Path) -> str:
    config = TextConfig(model=str(folder))
    memo = folder.parent / "memo.json"
    return fingerprint_of(find_model(config), config, config.view, memo).digest


def vectors_of(folder: Path, root: Path) -> np.ndarray:
    config = TextConfig(model=str(folder), dtype="float32")
    files = find_model(config)
    fingerprint = fingerprint_of(files, config, config.view, root / "memo.json")
    job = EmbedJob(files=files, config=config, root=root, fingerprints=(fingerprint,))
    embed(SENTENCES, job, Stop())
    return VectorCache.open(root, fingerprint).vectors(keys_of(SENTENCES))


def rot(path: Path, place: int = -1) -> None:
    """Change one bit as a bad disk does: size and time of change stay."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def is_whole(folder: Path, hub: FakeHub) -> bool:
    """Every file is the hub's, and the manifest says so."""
    files = {name: c for name, c in hub.files.items() if name not in NOT_FETCHED}
    sums = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
    }
    same = all((folder / name).read_bytes() == content for name, content in files.items())
    return same and manifest_of(folder)["files"] == sums


def test_a_fetched_model_gives_the_vectors_of_the_original(
    fetched: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    assert digest(fetched) == digest(tiny_llama)
    ours, theirs = vectors_of(fetched, tmp_path / "a"), vectors_of(tiny_llama, tmp_path / "b")
    assert np.array_equal(ours, theirs)


def test_the_command_says_what_to_set(hub: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    done = fetch(hub, folder)
    assert done.returncode == 0, done.stderr
    assert f"Set text.model: {folder.resolve()}" in done.stderr
    n_files = len(hub.files) - len(NOT_FETCHED)
    assert f"fetch-model: {n_files} files" in done.stderr


def test_the_manifest_names_the_commit_and_the_sha256_of_every_file(
    fetched: Path, hub: FakeHub
) -> None:
    assert is_whole(fetched, hub)
    manifest = manifest_of(fetched)
    assert (manifest["model"], manifest["revision"]) == (NAME, COMMIT)


def test_what_could_run_code_is_not_even_asked_for(hub: FakeHub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path / "model").returncode == 0
    assert not set(NOT_FETCHED) & set(hub.served)
    found = {path.name for path in (tmp_path / "model").rglob("*")}
    assert not any(name.endswith((".bin", ".py")) for name in found)


def test_fetching_again_asks_for_no_file_again(hub: FakeHub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path / "model").returncode == 0
    hub.served.clear()
    assert fetch(hub, tmp_path / "model").returncode == 0
    assert hub.served == []
    assert is_whole(tmp_path / "model", hub)


def test_a_download_that_breaks_off_goes_on(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut_once.add(WEIGHTS)
    done = fetch(hub, tmp_path / "model")
    assert done.returncode == 0, done.stderr
    assert hub.served.count(WEIGHTS) == 2
    assert is_whole(tmp_path / "model", hub)


def test_a_killed_download_goes_on_with_the_files_that_lack(hub: FakeHub, tmp_path: Path) -> None:
    folder = kill_in_the_middle(hub, tmp_path / "model")
    before = {path.name for path in folder.iterdir()}
    hub.served.clear()
    done = fetch(hub, folder)
    assert done.returncode == 0, done.stderr
    assert WEIGHTS in hub.served
    assert not before & set(hub.served)
    assert is_whole(folder, hub)


def test_a_folder_whose_fetch_was_killed_is_not_taken_for_a_model(
    hub: FakeHub, tmp_path: Path
) -> None:
    """The tokenizer lacks here: without it other vectors, or none, would come out."""
    hub.held.add("tokenizer.json")
    folder = kill_in_the_middle(hub, tmp_path / "model", "tokenizer.json")
    assert (folder / WEIGHTS).is_file()
    assert not (folder / "tokenizer.json").exists()
    with pytest.raises(ModelError, match=r"fetch"):
        find_model(TextConfig(model=str(folder)))


def kill_in_the_middle(hub: FakeHub, folder: Path, at: str = WEIGHTS) -> Path:
    """Start a fetch and kill it while `at` comes in, with all other files there."""
    hub.held.add(at)
    process = subprocess.Popen(
        command(folder, NAME, COMMIT, patient=True),
        env=environment(hub, folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    others = set(hub.files) - set(NOT_FETCHED) - {at}
    try:
        assert hub.reached_hold.wait(60)
        wait_until_there(folder, others)
    finally:
        process.kill()
        process.wait()
    hub.held.clear()
    hub.let_go.set()
    return folder


def wait_until_there(folder: Path, names: set[str]) -> None:
    """Until the hub's client has each file and has noted that it has."""
    notes = [folder / ".cache" / "huggingface" / "download" / f"{name}.metadata" for name in names]
    until = time.monotonic() + 60
    while not all(note.is_file() and note.stat().st_size for note in notes):
        assert time.monotonic() < until, "the other files never came"
        time.sleep(0.02)


def test_a_hub_that_goes_away_in_the_middle_is_told(hub: FakeHub, tmp_path: Path) -> None:
    hub.stops_at = WEIGHTS
    message = refusal(fetch(hub, tmp_path / "model", patient=False))
    assert f"{NAME} at {COMMIT} cannot be downloaded" in message
    assert "the same command continues where it stopped" in message
    assert not (tmp_path / "model" / MANIFEST).exists()


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:12], COMMIT.upper(), COMMIT + "0"])
def test_a_revision_that_may_move_is_refused(hub: FakeHub, tmp_path: Path, revision: str) -> None:
    message = refusal(fetch(hub, tmp_path / "model", revision=revision), code=2)
    assert f"--revision {revision}: give the commit (40 hex digits" in message
    assert not (tmp_path / "model").exists()


def test_an_unknown_model_is_told(hub: FakeHub, tmp_path: Path) -> None:
    message = refusal(fetch(hub, tmp_path / "model", name="hospital/no-such-model"))
    assert f"hospital/no-such-model at {COMMIT} cannot be downloaded" in message
    assert "Repository Not Found" in message


def test_an_unknown_commit_is_told(hub: FakeHub, tmp_path: Path) -> None:
    message = refusal(fetch(hub, tmp_path / "model", revision="f" * 40))
    assert "cannot be downloaded" in message
    assert "Revision Not Found" in message


def test_a_hub_that_is_down_is_told(tmp_path: Path) -> None:
    with fake_hub.running(FakeHub({})) as hub:
        pass  # nobody listens there any more
    message = refusal(fetch(hub, tmp_path / "model", patient=False))
    assert "cannot be downloaded" in message
    assert "network" in message


def test_being_offline_on_purpose_is_told(hub: FakeHub, tmp_path: Path) -> None:
    message = refusal(fetch(hub, tmp_path / "model", HF_HUB_OFFLINE="1"))
    assert "HF_HUB_OFFLINE" in message


def test_a_name_that_is_no_hub_name_is_told(hub: FakeHub, tmp_path: Path) -> None:
    assert "cannot be downloaded" in refusal(fetch(hub, tmp_path / "model", name="a b//c"))


def test_a_model_without_safetensors_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    del hub.files[WEIGHTS]
    message = refusal(fetch(hub, tmp_path / "model"))
    assert "has no safetensors" in message
    assert not (tmp_path / "model" / MANIFEST).exists()


def test_a_folder_that_holds_something_else_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    message = refusal(fetch(hub, folder))
    assert "has other content. Name a new folder with --to." in message
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_another_models_folder_is_refused(hub: FakeHub, fetched: Path) -> None:
    before = contents_of(fetched)
    assert "has other content" in refusal(fetch(hub, fetched, revision="f" * 40))
    assert contents_of(fetched) == before


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_file_in_the_folders_place_is_told(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file")
    assert str(tmp_path / "model") in refusal(fetch(hub, tmp_path / "model"))


def test_a_copy_that_was_cut_short_is_refused(fetched: Path) -> None:
    path = fetched / WEIGHTS
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(ModelError, match="Copy or fetch the model again") as caught:
        find_model(TextConfig(model=str(fetched)))
    assert str(path) in str(caught.value)
    assert "the copy is incomplete" in str(caught.value)


def test_a_file_that_was_left_behind_is_refused(fetched: Path) -> None:
    (fetched / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="the copy is incomplete"):
        find_model(TextConfig(model=str(fetched)))


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json"])
def test_a_flipped_bit_is_refused(fetched: Path, name: str) -> None:
    path = fetched / name
    rot(path, -1 if name == WEIGHTS else path.read_bytes().index(b"vocab"))  # JSON it stays
    with pytest.raises(ModelError, match="is not the file that was fetched") as caught:
        digest(fetched)
    assert "Copy or fetch the model again" in str(caught.value)
    assert str(path) in str(caught.value)


def test_fetching_again_mends_a_copy_that_was_cut_short(hub: FakeHub, fetched: Path) -> None:
    status = (fetched / WEIGHTS).stat()
    os.truncate(fetched / WEIGHTS, 100)
    os.utime(fetched / WEIGHTS, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = fetch(hub, fetched)
    assert done.returncode == 0, done.stderr
    assert is_whole(fetched, hub)


def test_fetching_again_never_vouches_for_a_damaged_file(hub: FakeHub, fetched: Path) -> None:
    before = manifest_of(fetched)["files"]
    rot(fetched / WEIGHTS)
    fetch(hub, fetched)
    assert manifest_of(fetched)["files"] == before


def test_fetching_again_mends_a_flipped_bit(hub: FakeHub, fetched: Path) -> None:
    rot(fetched / WEIGHTS)
    done = fetch(hub, fetched)
    assert done.returncode == 0, done.stderr
    assert is_whole(fetched, hub)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        "3",
        '{"format": "ecgpipe-text-model/1"}',
        '{"format": "ecgpipe-text-model/1", "files": {"config.json": 3}}',
        '{"format": "ecgpipe-text-model/1", "files": {"config.json": {"bytes": 1}}}',
        '{"format": "ecgpipe-text-model/9", "files": {}}',
    ],
)
def test_a_damaged_manifest_is_told(fetched: Path, content: str) -> None:
    (fetched / MANIFEST).write_text(content)
    with pytest.raises(ModelError, match=re.escape(str(fetched / MANIFEST))):
        find_model(TextConfig(model=str(fetched)))


def test_a_manifest_that_lost_its_files_vouches_for_nothing(fetched: Path) -> None:
    manifest = manifest_of(fetched) | {"files": {}}
    (fetched / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="Fetch the model again"):
        digest(fetched)


def test_fetching_again_mends_a_damaged_manifest(hub: FakeHub, fetched: Path) -> None:
    (fetched / MANIFEST).write_text("{")
    done = fetch(hub, fetched)
    assert done.returncode == 0, done.stderr
    assert is_whole(fetched, hub)


def test_a_weight_file_that_was_put_there_afterwards_is_refused(fetched: Path) -> None:
    """Without an index every *.safetensors is read, so a stranger's would be, too."""
    shutil.copy(fetched / WEIGHTS, fetched / "model-2.safetensors")
    with pytest.raises(ModelError, match="is not the file that was fetched"):
        digest(fetched)
