"""What the encoder sees: hand-worked scalings, and no reading that passes for a voltage."""

import pytest
import torch

from ecgpipe.train_ecg.data.inputs import NO_READING, to_model_input


def test_fixed_scaling_is_millivolts_and_no_reading_is_zero() -> None:
    signal = torch.tensor([[[1000, -250], [NO_READING, 0]]], dtype=torch.int16)
    assert to_model_input(signal, "fixed").tolist() == [[[1.0, -0.25], [0.0, 0.0]]]


def test_the_record_z_score_runs_over_all_leads_and_known_samples() -> None:
    signal = torch.tensor([[[1000, 3000], [NO_READING, 5000]]], dtype=torch.int16)
    # Known: 1, 3, 5 mV; mean 3, standard deviation sqrt(8 / 3).
    expected = torch.tensor([[[-2.0, 0.0], [0.0, 2.0]]]) / (8 / 3) ** 0.5
    torch.testing.assert_close(to_model_input(signal, "record"), expected)


def test_the_record_z_score_keeps_ratios_between_leads() -> None:
    signal = torch.randint(-2000, 2000, (1, 12, 50), dtype=torch.int16)
    scaled = to_model_input(signal, "record")
    differences = scaled[:, :, 1:] - scaled[:, :, :-1]
    true = (signal[:, :, 1:] - signal[:, :, :-1]).float()
    factor = differences[true != 0] / true[true != 0]
    torch.testing.assert_close(factor, factor[:1].expand_as(factor), rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("normalisation", ["fixed", "record"])
@pytest.mark.parametrize("value", [NO_READING, 0, 700])
def test_a_constant_record_gives_finite_values(normalisation: str, value: int) -> None:
    signal = torch.full((2, 12, 40), value, dtype=torch.int16)
    assert torch.isfinite(to_model_input(signal, normalisation)).all()


@pytest.mark.parametrize("normalisation", ["fixed", "record"])
def test_a_record_does_not_depend_on_its_batch(normalisation: str) -> None:
    signal = torch.randint(-2000, 2000, (5, 12, 50), dtype=torch.int16)
    together = to_model_input(signal, normalisation)
    alone = torch.cat([to_model_input(row[None], normalisation) for row in signal])
    torch.testing.assert_close(together, alone)
