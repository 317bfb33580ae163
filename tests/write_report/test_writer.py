"""The writer: a connector learns which ECG it saw; stops lose nothing; the file is checked."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_training import StopAfter

from ecgpipe.errors import StoppedEarly
from ecgpipe.stopping import Stop
from ecgpipe.write_report import writer_training
from ecgpipe.write_report.connector import Connector
from ecgpipe.write_report.writer import CARD, WEIGHTS, read_writer, save_writer
from ecgpipe.write_report.writer_training import (
    Examples,
    Trained,
    n_epochs,
    train_connector,
)

WIDTH, WORDS = 64, 5
STEPS_AN_EPOCH = 7  # of 100 ECGs


class OneWord:
    """A language model that says a word by a frozen linear layer of the mean of its prefix."""

    device = torch.device("cpu")
    width = WIDTH

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.weight = torch.randn((WORDS, WIDTH), generator=generator)
        self.n_calls = 0

    def loss(self, prefix_BPW: torch.Tensor, ids: list[list[int]]) -> torch.Tensor:
        self.n_calls += 1
        target = torch.tensor([text[0] for text in ids])
        return torch.nn.functional.cross_entropy(prefix_BPW.mean(dim=1) @ self.weight.T, target)


def examples(n: int, seed: int = 0) -> Examples:
    """ECGs whose first five features say which word their report begins with."""
    rng = np.random.default_rng(seed)
    words = rng.integers(WORDS, size=n)
    tokens = rng.normal(0, 0.3, (n, 4, 8)).astype(np.float16)
    tokens[:, :, :WORDS] += np.eye(WORDS, dtype=np.float16)[words][:, None]
    lengths = rng.integers(1, 9, size=n)
    return Examples(tokens, [[int(word)] * int(k) for word, k in zip(words, lengths, strict=True)])


def trained(folder: Path, stop: Stop | None = None, model: OneWord | None = None) -> Trained:
    path = folder / "checkpoint.safetensors"
    return train_connector(
        model or OneWord(),
        examples(100),
        examples(20, 1),
        path,
        "key",
        Stop() if stop is None else stop,
    )


@pytest.fixture(scope="module", autouse=True)
def few_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_training, "_MIN_STEPS", 30)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory.mktemp("whole"))


def test_a_connector_learns_what_the_ecgs_show(whole: Trained) -> None:
    assert whole.losses[whole.best_epoch - 1] < 0.3 * math.log(WORDS)
    assert len(whole.losses) == n_epochs(100)


def test_a_few_hundred_steps_are_made_whatever_the_number_of_reports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_training, "_MIN_STEPS", 200)
    assert [n_epochs(n) for n in (16, 992, 3_200, 100_000)] == [200, 4, 1, 1]


@pytest.mark.parametrize("steps", [3, 7, 20])
def test_a_stopped_training_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, whole: Trained, steps: int
) -> None:
    with pytest.raises(StoppedEarly, match="everything is saved"):
        trained(tmp_path, StopAfter(steps))
    model = OneWord()
    again = trained(tmp_path, model=model)
    assert again.losses == whole.losses
    for name, value in whole.connector.state_dict().items():
        assert torch.equal(value, again.connector.state_dict()[name]), name
    n_calls = n_epochs(100) * (STEPS_AN_EPOCH + 2)  # two batches are validated
    assert model.n_calls <= n_calls - steps  # it did not begin anew


def test_a_damaged_checkpoint_is_begun_anew(tmp_path: Path, whole: Trained) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"torn")
    assert trained(tmp_path).losses == whole.losses


def test_a_writer_is_read_back_only_whole_and_of_its_own_key(
    tmp_path: Path, whole: Trained
) -> None:
    save_writer(tmp_path, whole.connector, {"key": "k", "limit": 9})
    found = read_writer(tmp_path, "k")
    assert found is not None
    tokens = torch.randn(2, 4, 8)
    assert torch.equal(found[0](tokens), whole.connector(tokens))
    assert found[1]["limit"] == 9
    assert read_writer(tmp_path, "other") is None
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-1])
    assert read_writer(tmp_path, "k") is None
    (tmp_path / CARD).unlink()
    assert read_writer(tmp_path, "k") is None


def test_features_of_any_scale_are_standardised() -> None:
    tokens = torch.randn(50, 4, 8) * 300 + 1000
    connector = Connector(8, WIDTH)
    connector.standardise_by(tokens)
    assert float(connector(tokens).detach().std()) < 1
