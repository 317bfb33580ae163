"""Fixtures that several rooms' tests share."""

import os
from pathlib import Path

import pytest
import tiny_models

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real ECGs; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("ECGPIPE_DATA", "../shared/data"))
    if not (folder / "ptbxl").is_dir():
        pytest.skip("no real ECGs: set ECGPIPE_DATA to the folder that holds ptbxl/, mitdb/, ...")
    return folder.resolve()


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Llama with random weights and a byte tokenizer, as a local folder."""
    return tiny_models.save_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer BERT with random weights, as a local folder."""
    return tiny_models.save_bert(tmp_path_factory.mktemp("tiny-bert"))
