"""text.model: one-hot with all findings is a supervised head: one output a finding, and no words.

Two of its parts are shown here: its text side is a table of free rows, and any linear head on the
encoder's features is such a model, but for a factor near 1 that all outputs of an ECG share.
"""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from ecgpipe.embed_text.controls import control_vectors
from ecgpipe.train_ecg.losses.loss import findings_loss
from ecgpipe.train_ecg.two_towers import ModelShape, TwoTowers, initialised

FINDINGS = ("洞調律", "心房細動", "左室肥大", "完全左脚ブロック", "陰性T波")
OTHER_TEXTS = ("正常心電図", "Sinus rhythm")
N, D = len(FINDINGS), 8


@pytest.fixture
def model() -> TwoTowers:
    texts = [*FINDINGS, *OTHER_TEXTS]
    shape = ModelShape(
        encoder="cnn1d", n_leads=12, samples=200, rate_hz=100, normalisation="fixed",
        text_width=len(texts), projection_dim=D, temperature=0.01, learn_temperature=True,
        pair_bias=True,
    )  # fmt: skip
    made = initialised(shape, 0).eval()
    made.text_mean_W.copy_(one_hot(*FINDINGS).mean(dim=0))
    return made


def one_hot(*texts: str) -> torch.Tensor:
    return torch.from_numpy(control_vectors("one-hot", texts, [*FINDINGS, *OTHER_TEXTS]))


def set_rows(model: TwoTowers, rows_ND: torch.Tensor) -> None:
    """Give each finding a direction of its own, by the weights of the text projection alone."""
    axes_NW = one_hot(*FINDINGS)
    weight_DW = rows_ND.T @ (axes_NW / axes_NW.square().sum(dim=1, keepdim=True))
    with torch.no_grad():
        model.text_projection.weight.copy_(weight_DW)
        model.text_projection.bias.copy_(weight_DW @ model.text_mean_W)  # undoes the mean


def test_the_text_side_is_a_table_of_free_rows(model: TwoTowers) -> None:
    torch.manual_seed(0)
    wanted_ND = functional.normalize(torch.randn(N, D), dim=1)
    set_rows(model, wanted_ND)
    torch.testing.assert_close(model.encode_text(one_hot(*FINDINGS)), wanted_ND)


def test_its_loss_is_that_of_a_linear_layer_with_one_output_a_finding(model: TwoTowers) -> None:
    torch.manual_seed(0)
    ecg_BD = functional.normalize(torch.randn(6, D), dim=1)
    truth_BN = torch.rand(6, N) < 0.3
    text_ND, scale = model.encode_text(one_hot(*FINDINGS)), model.log_scale.exp()
    head = nn.Linear(D, N)
    with torch.no_grad():
        head.weight.copy_(scale * text_ND)
        head.bias.fill_(-2)
    found = findings_loss(ecg_BD, text_ND, truth_BN, scale, torch.tensor(-2.0))
    expected = functional.binary_cross_entropy_with_logits(head(ecg_BD), truth_BN.float())
    torch.testing.assert_close(found, expected)


def test_any_linear_head_on_the_encoders_features_is_such_a_model(model: TwoTowers) -> None:
    torch.manual_seed(0)
    signal_BLS = torch.randint(-1500, 1500, (16, 12, 200), dtype=torch.int16)
    with torch.no_grad():
        features_BF = model.ecg_features(signal_BLS)
        head = nn.Linear(features_BF.shape[1], N)
        head.weight.mul_(3 / head(features_BF).std())  # outputs as large as a trained head's
        expected_BN = head(features_BF)

        small = 1 / math.exp(model.log_scale)
        weight_DF = torch.zeros(D, features_BF.shape[1])
        weight_DF[:N] = small * head.weight
        model.ecg_projection.weight.copy_(weight_DF)
        # A constant that outweighs the rest, so that unit length changes it little; on it stand
        # the biases of the findings.
        model.ecg_projection.bias.copy_(functional.one_hot(torch.tensor(N), D).float())
        rows_ND = torch.eye(N, D)
        rows_ND[:, N] = small * head.bias
        set_rows(model, rows_ND)
        cosines_BN = model.project_ecg(features_BF) @ model.encode_text(one_hot(*FINDINGS)).T
    found_BN = model.log_scale.exp() * cosines_BN
    torch.testing.assert_close(found_BN, expected_BN, rtol=0.02, atol=0.02)
    assert expected_BN.abs().max() > 3
