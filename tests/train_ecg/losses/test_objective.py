"""What a step makes small: every combination of the settings learns, and says how well."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from ecgpipe.config.train import TrainConfig
from ecgpipe.train_ecg.data.pairing import pad_rows
from ecgpipe.train_ecg.losses.objective import Objective, RecordTexts, Unlabelled
from ecgpipe.train_ecg.two_towers import TowerOutputs

FINDINGS = [[0, 1], [1], [2], [0, 1], [2, 3], [3]]
VECTORS = np.eye(4, dtype=np.float32)
SENTENCES = [[0], [1], [2], [0], [3], [4]]
WORDINGS = [[0, 4], [1], [2, 5, 6], [3]]
PLACES = torch.arange(6)
CPU = torch.device("cpu")
ONE, ZERO = torch.tensor(5.0), torch.tensor(0.0)


def objective(
    *,
    bank: Sequence[Sequence[int]] | None = None,
    unknown: Sequence[Sequence[int]] | None = None,
    unlabelled: Unlabelled | None = None,
    **settings: Any,
) -> Objective:
    """`bank`: the rows that word each finding; each row is a direction of its own. `unknown`: the
    findings of each record of which nobody knows."""
    config = TrainConfig(global_batch_size=6, **settings)
    single = config.text != "sentence"
    n_sentences = max(map(max, bank)) + 1 if bank else 4
    texts = RecordTexts(
        texts_NK=pad_rows(FINDINGS if single else SENTENCES),
        labels_NL=pad_rows(FINDINGS),
        vectors_RW=np.eye(n_sentences if single else 5, dtype=np.float32),
        unknown_NU=pad_rows(unknown) if unknown else None,
        unlabelled=unlabelled,
        wordings_FV=pad_rows(bank) if bank else None,
    )
    built = Objective(config, texts, CPU)
    built.draw(0)
    return built


def of_whole_batch(
    target: Objective,
    ecg_BD: torch.Tensor,
    text_TD: torch.Tensor,
    scale: torch.Tensor = ONE,
    bias: torch.Tensor = ZERO,
) -> tuple[torch.Tensor, torch.Tensor]:
    outputs = TowerOutputs(ecg_BD, text_TD, scale, bias)
    return target(outputs, ecg_BD, PLACES, slice(0, 6))


ALL = [
    {"text": text, "loss": loss, "duplicates": duplicates}
    for text in ("sentence", "sampled_finding")
    for loss, modes in (
        ("clip", ("infonce", "mask", "unique", "soft")),
        ("siglip", ("infonce", "mask", "soft")),
    )
    for duplicates in modes
] + [{"text": "all_findings", "loss": "siglip", "balance": balance} for balance in ("none", "sqrt")]
BANKS = [
    each | {"bank": WORDINGS}
    for each in (ALL[-1], {"text": "sampled_finding", "loss": "clip", "duplicates": "mask"})
]


def names_of(settings: dict[str, Any]) -> str:
    return "-".join("bank" if name == "bank" else value for name, value in settings.items())


@pytest.mark.parametrize("settings", ALL + BANKS, ids=names_of)
def test_every_combination_can_be_learnt(settings: dict[str, Any]) -> None:
    """Free vectors on the sphere: what remains of the loss is what the settings leave."""
    torch.manual_seed(0)
    target = objective(**settings)
    text_TW = target.text_vectors(PLACES)
    ecg = torch.randn(6, 8, requires_grad=True)
    projection = torch.randn(text_TW.shape[1], 8, requires_grad=True)
    bias = torch.tensor(target.start_bias(), requires_grad=True)
    optimizer = torch.optim.Adam([ecg, projection, bias], lr=0.1)
    seen = []
    for _ in range(120):
        optimizer.zero_grad()
        loss, accuracy = of_whole_batch(
            target,
            functional.normalize(ecg, dim=1),
            functional.normalize(text_TW @ projection, dim=1),
            torch.tensor(10.0),
            bias,
        )
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    assert np.isfinite(seen).all()
    assert seen[-1] < 0.6 * seen[0]
    assert accuracy.item() == 1


def test_what_is_also_true_of_an_ecg_is_none_of_its_negatives() -> None:
    """Against the definition, written out with loops."""
    torch.manual_seed(2)
    target = objective(text="sampled_finding", duplicates="mask")
    drawn = target.text_ids(PLACES).tolist()
    ecg_BD = functional.normalize(torch.randn(6, 4), dim=1)
    text_BD = functional.normalize(target.text_vectors(PLACES) + 0.1, dim=1)
    found, _ = of_whole_batch(target, ecg_BD, text_BD)
    weights = np.exp(5 * (ecg_BD @ text_BD.T).double().numpy())
    costs = []
    for own in range(6):
        texts = [j for j in range(6) if j == own or drawn[j] not in FINDINGS[own]]
        ecgs = [i for i in range(6) if i == own or drawn[own] not in FINDINGS[i]]
        costs.append(-np.log(weights[own, own] / weights[own, texts].sum()))
        costs.append(-np.log(weights[own, own] / weights[ecgs, own].sum()))
    assert found.item() == pytest.approx(np.mean(costs), rel=1e-5)
    assert any(drawn[j] in FINDINGS[i] for i in range(6) for j in range(6) if i != j)


def test_all_findings_compare_every_ecg_with_every_prompt() -> None:
    target = objective(text="all_findings", loss="siglip")
    assert target.text_vectors(PLACES).shape == (4, 4)
    ecg = functional.normalize(torch.tensor([[1.0, 1, 0, 0]]), dim=1).repeat(6, 1)
    loss, accuracy = of_whole_batch(target, ecg, torch.eye(4))
    truth = np.zeros((6, 4))
    for record, own in enumerate(FINDINGS):
        truth[record, own] = 1
    logits = 5 * np.array([2**-0.5, 2**-0.5, 0, 0])
    by_hand = np.mean(np.log1p(np.exp(-logits)) * truth + np.log1p(np.exp(logits)) * (1 - truth))
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    # The nearest prompt of all is finding 0 (of two equal the first): true of records 0 and 3.
    assert accuracy.item() == pytest.approx(2 / 6)


@pytest.mark.parametrize("settings", ALL + BANKS, ids=names_of)
def test_the_mean_over_parts_is_the_loss_of_the_whole(settings: dict[str, Any]) -> None:
    torch.manual_seed(1)
    target = objective(**settings)
    text_TW = target.text_vectors(PLACES)
    text_TD = functional.normalize(text_TW @ torch.randn(text_TW.shape[1], 8), dim=1)
    ecg_BD = functional.normalize(torch.randn(6, 8), dim=1)
    whole = of_whole_batch(target, ecg_BD, text_TD)
    parts = []
    for part in (slice(0, 2), slice(2, 4), slice(4, 6)):
        own = TowerOutputs(ecg_BD[part], text_TD, ONE, ZERO)
        parts.append(target(own, ecg_BD, PLACES, part))
    for figure, expected in zip(zip(*parts, strict=True), whole, strict=True):
        assert torch.stack(figure).mean().item() == pytest.approx(expected.item(), rel=1e-5)


def test_all_findings_of_a_bank_compare_every_ecg_with_the_wordings_it_drew() -> None:
    """Against the definition, with the draws read off the loss's own gradient: a prompt that an ECG
    did not draw has none."""
    target = objective(text="all_findings", loss="siglip", bank=WORDINGS)
    sentences = target.text_vectors(PLACES)
    assert sentences.shape == (7, 7)
    torch.manual_seed(4)
    ecg = functional.normalize(torch.randn(6, 7), dim=1)
    said = []
    for record in range(6):
        text = sentences.clone().requires_grad_()
        outputs = TowerOutputs(ecg[record : record + 1], text, ONE, ZERO)
        loss, _ = target(outputs, ecg, PLACES, slice(record, record + 1))
        loss.backward()
        assert text.grad is not None
        drawn = torch.nonzero(text.grad.abs().sum(dim=1)).flatten().tolist()
        assert [sum(row in own for row in drawn) for own in WORDINGS] == [1, 1, 1, 1]
        said.append([next(row for row in drawn if row in own) for own in WORDINGS])
        logits = 5 * (ecg[record] @ sentences.T).double().numpy()[said[-1]]
        true = np.isin(np.arange(4), FINDINGS[record])
        by_hand = np.mean(np.log1p(np.exp(np.where(true, -logits, logits))))
        assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    assert len(set(map(tuple, said))) > 1  # each ECG draws for itself


def test_a_paired_text_is_one_of_the_wordings_of_a_finding_of_the_ecg() -> None:
    target = objective(text="sampled_finding", duplicates="mask", bank=WORDINGS)
    seen: set[int] = set()
    for epoch in range(20):
        target.draw(epoch)
        rows = target.text_vectors(PLACES).argmax(dim=1).tolist()
        for row, finding in zip(rows, target.text_ids(PLACES).tolist(), strict=True):
            assert row in WORDINGS[finding]
        seen |= set(rows)
    assert seen == set(range(7))


@pytest.mark.parametrize(
    "settings", [each for each in ALL if each["text"] != "sentence"], ids=names_of
)
def test_a_bank_of_names_alone_changes_no_bit(settings: dict[str, Any]) -> None:
    torch.manual_seed(3)
    ecg = functional.normalize(torch.randn(6, 4), dim=1)
    plain, bank = (objective(bank=each, **settings) for each in (None, [[0], [1], [2], [3]]))
    for epoch in range(3):
        plain.draw(epoch)
        bank.draw(epoch)
        text = plain.text_vectors(PLACES)
        assert torch.equal(text, bank.text_vectors(PLACES))
        for one, other in zip(
            of_whole_batch(plain, ecg, text), of_whole_batch(bank, ecg, text), strict=True
        ):
            assert torch.equal(one, other)
    assert plain.start_bias() == bank.start_bias()


def test_the_bias_begins_at_the_log_odds_of_a_true_pair() -> None:
    assert objective(loss="siglip").start_bias() == pytest.approx(np.log(1 / 5))
    # 9 findings of 6 records, 4 possible: 9 / 24.
    found = objective(text="all_findings", loss="siglip").start_bias()
    assert found == pytest.approx(np.log(9 / 15))


def test_equal_texts_of_an_epoch_are_counted_with_the_floor_they_set() -> None:
    found = objective().duplicates_of_epoch(PLACES[None].numpy())
    assert found["duplicate_share"] == pytest.approx(2 / 6)
    assert found["loss_floor"] == pytest.approx(2 * np.log(2) / 6)
    none = {"duplicate_share": None, "loss_floor": None}
    everything = objective(text="all_findings", loss="siglip")
    assert everything.duplicates_of_epoch(PLACES[None].numpy()) == none


def test_the_mean_text_is_that_of_what_is_said() -> None:
    texts = RecordTexts(
        texts_NK=pad_rows(FINDINGS), labels_NL=pad_rows(FINDINGS), vectors_RW=VECTORS
    )
    np.testing.assert_allclose(texts.mean_vector(), np.array([2, 3, 2, 2]) / 9, rtol=1e-6)
    worded = RecordTexts(
        texts_NK=pad_rows(FINDINGS),
        labels_NL=pad_rows(FINDINGS),
        vectors_RW=np.eye(7, dtype=np.float32),
        wordings_FV=pad_rows(WORDINGS),
    )
    # Finding 0 is said twice over six records, each time by one of two sentences, and so on.
    expected = np.array([1, 3, 2 / 3, 2, 1, 2 / 3, 2 / 3]) / 9
    np.testing.assert_allclose(worded.mean_vector(), expected, rtol=1e-6)


# Of findings 2 and 3 nothing is known but where they are shown, and of record 1, which has neither.
UNKNOWN = [[2, 3], [], [3], [2, 3], [], [2]]
SINGLE = [each for each in ALL if each["text"] != "sentence"]


@pytest.mark.parametrize("settings", SINGLE, ids=names_of)
def test_what_is_unknown_pushes_no_ecg_and_what_is_known_does(settings: dict[str, Any]) -> None:
    """Texts are unit directions, so an ECG's gradient along one is what its pairs with it cost."""
    torch.manual_seed(0)
    target = objective(unknown=UNKNOWN, **settings)
    text_TD = target.text_vectors(PLACES)
    ecg_BD = functional.normalize(torch.randn(6, 4), dim=1).requires_grad_()
    loss, _ = of_whole_batch(target, ecg_BD, text_TD)
    (pushed_BD,) = torch.autograd.grad(loss, ecg_BD)
    in_step = set(text_TD.argmax(dim=1).tolist())
    for record, unknown in enumerate(UNKNOWN):
        for finding in range(4):
            push = pushed_BD[record, finding].abs().item()
            if finding in unknown:
                assert push == 0, (record, finding)
            elif finding not in FINDINGS[record] and finding in in_step:
                assert push > 1e-6, (record, finding)


@pytest.mark.parametrize("settings", SINGLE, ids=names_of)
def test_the_parts_of_a_batch_agree_on_what_is_unknown(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    target = objective(unknown=UNKNOWN, **settings)
    text_TD = target.text_vectors(PLACES)
    ecg_BD = functional.normalize(torch.randn(6, 4), dim=1)
    whole, accuracy = of_whole_batch(target, ecg_BD, text_TD)
    parts = [
        target(TowerOutputs(ecg_BD[own], text_TD, ONE, ZERO), ecg_BD, PLACES, own)
        for own in (slice(0, 3), slice(3, 6))
    ]
    assert torch.stack([loss for loss, _ in parts]).mean().item() == pytest.approx(whole.item())
    assert torch.stack([each for _, each in parts]).mean().item() == pytest.approx(accuracy.item())


@pytest.mark.parametrize("settings", SINGLE, ids=names_of)
def test_without_anything_unknown_the_loss_is_as_before(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    ecg_BD = functional.normalize(torch.randn(6, 4), dim=1)
    losses = []
    for unknown in (None, [[]] * 6):
        target = objective(unknown=unknown, **settings)
        losses.append(of_whole_batch(target, ecg_BD, target.text_vectors(PLACES))[0].item())
    assert losses[0] == pytest.approx(losses[1])


def test_an_unknown_text_is_no_wrong_answer() -> None:
    target = objective(unknown=UNKNOWN, text="all_findings", loss="siglip")
    # Record 0 is nearest to finding 2, of which nothing is known, then to 0, which it has.
    ecg_BD = functional.one_hot(torch.tensor([2, 1, 2, 0, 2, 3]), 4).float()
    ecg_BD[0, 0] = 0.5
    _, accuracy = of_whole_batch(target, ecg_BD, torch.eye(4))
    assert accuracy == 1


def test_shares_are_of_what_is_known() -> None:
    target = objective(unknown=UNKNOWN, text="all_findings", loss="siglip", balance="sqrt")
    # 9 findings are shown, and 6 x 4 - 6 are known.
    assert target.start_bias() == pytest.approx(np.log(9 / (18 - 9)))
    texts = RecordTexts(
        texts_NK=pad_rows(FINDINGS),
        labels_NL=pad_rows(FINDINGS),
        vectors_RW=VECTORS,
        unknown_NU=pad_rows(UNKNOWN),
    )
    assert texts.known_counts().tolist() == [6, 6, 3, 3]


# Findings 2 and 3 are those of labels, which records 0 and 3 do not have.
UNLABELLED = Unlabelled(np.isin(np.arange(6), [0, 3]), np.array([False, False, True, True]))


@pytest.mark.parametrize("settings", SINGLE, ids=names_of)
@pytest.mark.parametrize("also", [[[]] * 6, [[], [0], [], [0], [], [1]]])
def test_of_an_unlabelled_record_every_finding_of_labels_is_unknown(
    settings: dict[str, Any], also: list[list[int]]
) -> None:
    torch.manual_seed(0)
    ecg_BD = functional.normalize(torch.randn(6, 4), dim=1)
    listed = [[*each, *([2, 3] if n in (0, 3) else [])] for n, each in enumerate(also)]
    found = []
    for target in (
        objective(unknown=also, unlabelled=UNLABELLED, **settings),
        objective(unknown=listed, **settings),
    ):
        loss, accuracy = of_whole_batch(target, ecg_BD, target.text_vectors(PLACES))
        found.append((loss.item(), accuracy.item(), target.start_bias()))
    assert found[0] == pytest.approx(found[1])


def test_what_labels_would_say_of_unlabelled_records_is_not_counted_as_known() -> None:
    texts = RecordTexts(
        texts_NK=pad_rows(FINDINGS),
        labels_NL=pad_rows(FINDINGS),
        vectors_RW=VECTORS,
        unlabelled=UNLABELLED,
    )
    assert texts.known_counts().tolist() == [6, 6, 4, 4]


def test_a_record_without_a_text_is_told_from_all_others() -> None:
    texts = RecordTexts(
        texts_NK=pad_rows([[0], []]), labels_NL=pad_rows([[], []]), vectors_RW=VECTORS[:2]
    )
    config = TrainConfig(global_batch_size=2, text="all_findings", loss="siglip")
    target = Objective(config, texts, CPU)
    target.draw(0)
    places, text_TD = torch.arange(2), torch.eye(4)[:2]
    near, far = text_TD.clone(), torch.eye(4)[[0, 3]]  # the second like a text, and like none
    losses = [
        target(TowerOutputs(ecg, text_TD, ONE, ZERO), ecg, places, slice(0, 2))[0]
        for ecg in (near, far)
    ]
    # softplus(5) - softplus(0) of 2 ECGs and 2 texts: what being like a text costs the second.
    expected = (np.log1p(np.exp(5)) - np.log(2)) / 4
    assert (losses[0] - losses[1]).item() == pytest.approx(expected, rel=1e-5)
