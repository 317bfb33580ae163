"""An exported model is loaded from a hub at a commit, once; then the hub is not needed."""

import os
import subprocess
import sys
from pathlib import Path

import fake_hub
import pytest
from fake_hub import COMMIT, NAME, FakeHub

from ecgpipe.apply_model.applied_model import load_model
from ecgpipe.apply_model.export.model_hub import hub_folder, is_hub_name
from ecgpipe.errors import CheckpointError, ConfigError

LOAD = "import sys, ecgpipe; print(ecgpipe.load_model(sys.argv[1]).digest)"


def load_elsewhere(
    name: str, home: Path, url: str, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("HF_")},
        "HF_HOME": str(home), "HF_ENDPOINT": url, "HF_HUB_DISABLE_XET": "1", **more,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", LOAD, name], env=environment, capture_output=True, text=True
    )


def test_a_model_on_the_hub_is_downloaded_once_and_checked(exported: Path, tmp_path: Path) -> None:
    name = f"{NAME}@{COMMIT}"
    with fake_hub.running(FakeHub(fake_hub.files_of(exported) | {"evil.pkl": b"x"})) as hub:
        first = load_elsewhere(name, tmp_path, hub.url)
        assert first.returncode == 0, first.stderr
        assert "evil.pkl" not in hub.served
    assert first.stdout.strip() == load_model(exported).digest
    again = load_elsewhere(name, tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert again.stdout == first.stdout, again.stderr
    [weights] = tmp_path.rglob("model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.resolve().write_bytes(content)
    damaged = load_elsewhere(name, tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert "is not the file that was exported" in damaged.stderr


def test_without_the_hub_one_paragraph_says_what_to_do(tmp_path: Path) -> None:
    offline = load_elsewhere(f"{NAME}@{COMMIT}", tmp_path, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
    assert "is not on this machine, and HF_HUB_OFFLINE is set" in offline.stderr


def test_a_branch_is_refused_because_it_may_move() -> None:
    with pytest.raises(ConfigError, match="40 hex digits"):
        hub_folder("hospital/model@main")
    with pytest.raises(CheckpointError, match="no exported model"):
        load_model("hospital/model")  # a folder that is not there


def test_a_folder_of_that_name_is_taken_for_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_hub_name(f"{NAME}@{COMMIT}")
    (tmp_path / f"{NAME}@{COMMIT}").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_hub_name(f"{NAME}@{COMMIT}")
