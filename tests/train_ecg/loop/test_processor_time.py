"""What an ECG costs without a GPU: a longer one costs more, and nothing else changes."""

import torch

from ecgpipe.config.train import TrainConfig
from ecgpipe.train_ecg.loop.processor_time import seconds_per_ecg
from ecgpipe.train_ecg.two_towers import ModelShape


def shape(samples: int) -> ModelShape:
    return ModelShape.of(TrainConfig(), 12, samples, 100, 16)


def test_a_recording_ten_times_as_long_takes_longer_and_random_numbers_stay() -> None:
    before = torch.random.get_rng_state()
    short, long = (
        min(seconds_per_ecg(shape(samples), TrainConfig()) for _ in range(2))
        for samples in (200, 2000)
    )
    assert 0 < short < long
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_smaller_batch_than_is_timed_otherwise_is_possible() -> None:
    assert seconds_per_ecg(shape(200), TrainConfig(global_batch_size=2)) > 0


def test_what_is_recommended_can_be_timed_before_there_are_texts() -> None:
    """Then no text can mean another: the projection sees the coordinates on the axes."""
    config = TrainConfig(text_axes=8, beat_intervals=True, loss="siglip", text="all_findings")
    assert seconds_per_ecg(ModelShape.of(config, 12, 200, 100, 16), config) > 0
