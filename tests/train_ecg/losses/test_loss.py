"""The losses: cases worked by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from ecgpipe.train_ecg.losses.loss import (
    SIGLIP_BIAS,
    SIGLIP_LOG_SCALE,
    Pairs,
    Unknown,
    clip_loss,
    findings_loss,
    positive_weights,
    siglip_loss,
)
from ecgpipe.train_ecg.losses.text_overlap import (
    duplicate_floor,
    duplicate_share,
    equal_texts,
    label_jaccard,
)


def one_process(ecg: torch.Tensor, text: torch.Tensor, scale: float) -> torch.Tensor:
    return clip_loss(ecg, text, ecg, text, torch.tensor(scale))


def test_three_pairs_worked_by_hand() -> None:
    # Unit vectors in the plane, chosen so that every cosine is 1, 0 or 1/2.
    half, root = 0.5, math.sqrt(3) / 2
    ecg = torch.tensor([[1.0, 0.0], [0.0, 1.0], [half, root]])
    text = torch.tensor([[1.0, 0.0], [root, half], [0.0, 1.0]])
    # s = ecg . text:      t0      t1      t2
    #   e0                 1       root    0
    #   e1                 0       half    1
    #   e2                 half    root    root
    # Rows (ECG to text), each log of the sum of exponentials minus the diagonal:
    rows = [
        math.log(math.exp(1) + math.exp(root) + math.exp(0)) - 1,
        math.log(math.exp(0) + math.exp(half) + math.exp(1)) - half,
        math.log(math.exp(half) + math.exp(root) + math.exp(root)) - root,
    ]
    columns = [
        math.log(math.exp(1) + math.exp(0) + math.exp(half)) - 1,
        math.log(math.exp(root) + math.exp(half) + math.exp(root)) - half,
        math.log(math.exp(0) + math.exp(1) + math.exp(root)) - root,
    ]
    expected = (sum(rows) / 3 + sum(columns) / 3) / 2
    assert one_process(ecg, text, 1.0).item() == pytest.approx(expected, abs=1e-6)


def test_equal_vectors_everywhere_give_the_logarithm_of_the_batch() -> None:
    same = torch.tensor([[0.6, 0.8]]).repeat(32, 1)
    assert one_process(same, same, 14.3).item() == pytest.approx(math.log(32), abs=1e-5)


def test_perfect_pairs_at_a_high_scale_cost_nothing() -> None:
    perfect = torch.eye(8)
    assert one_process(perfect, perfect, 100.0).item() == pytest.approx(0, abs=1e-6)


def test_the_loss_is_symmetric_in_its_two_sides() -> None:
    torch.manual_seed(0)
    ecg = torch.nn.functional.normalize(torch.randn(16, 8), dim=1)
    text = torch.nn.functional.normalize(torch.randn(16, 8), dim=1)
    torch.testing.assert_close(one_process(ecg, text, 5.0), one_process(text, ecg, 5.0))


# Three ECGs of which the first two have the same text; every logit is the logarithm of a small
# whole number, so that a softmax is a fraction: ECG i gives text j the weight W[i][j].
#        t0 t1 t2
#   e0    2  2  1
#   e1    3  3  4
#   e2    1  1  6
WEIGHTS = torch.tensor([[2.0, 2, 1], [3, 3, 4], [1, 1, 6]], dtype=torch.float64)
SAME = torch.tensor([7, 7, 9])
ONE = torch.tensor(1.0, dtype=torch.float64)


def by_weights(weights: torch.Tensor, **options: object) -> float:
    """clip_loss where scale e_i . t_j is the logarithm of weights[i, j]."""
    ecg, text = weights.log(), torch.eye(len(weights), dtype=weights.dtype)
    return clip_loss(ecg, text, ecg, text, ONE, **options).item()


def cost(*shares: tuple[float, float]) -> float:
    """The mean of -log(a / b)."""
    return sum(math.log(b / a) for a, b in shares) / len(shares)


def test_plain_infonce_by_weights() -> None:
    rows, columns = cost((2, 5), (3, 10), (6, 8)), cost((2, 6), (3, 6), (6, 11))
    assert by_weights(WEIGHTS) == pytest.approx((rows + columns) / 2)
    assert by_weights(WEIGHTS, text_ids_B=SAME) == pytest.approx((rows + columns) / 2)


def test_mask_leaves_the_other_rows_with_the_same_text_out_of_both_directions() -> None:
    rows = cost((2, 2 + 1), (3, 3 + 4), (6, 1 + 1 + 6))
    columns = cost((2, 2 + 1), (3, 3 + 1), (6, 1 + 4 + 6))
    found = by_weights(WEIGHTS, duplicates="mask", text_ids_B=SAME)
    assert found == pytest.approx((rows + columns) / 2)


def test_unique_has_one_column_a_text_and_one_term_a_text() -> None:
    rows = cost((2, 2 + 1), (3, 3 + 4), (6, 1 + 6))
    first_text, second_text = cost((2, 2 + 3 + 1), (3, 2 + 3 + 1)), cost((6, 1 + 4 + 6))
    columns = (first_text + second_text) / 2
    found = by_weights(WEIGHTS, duplicates="unique", text_ids_B=SAME)
    assert found == pytest.approx((rows + columns) / 2)


def test_soft_targets_are_normalised_over_rows_and_over_columns() -> None:
    target = torch.tensor([[1.0, 0.5, 0], [0.5, 1, 0.25], [0, 0.25, 1]], dtype=torch.float64)
    rows = (
        cost((2, 5))  # 2/3 and 1/3 of the same cost
        + 2 / 7 * cost((3, 10)) + 4 / 7 * cost((3, 10)) + 1 / 7 * cost((4, 10))
        + 1 / 5 * cost((1, 8)) + 4 / 5 * cost((6, 8))
    )  # fmt: skip
    columns = (
        2 / 3 * cost((2, 6)) + 1 / 3 * cost((3, 6))
        + 2 / 7 * cost((2, 6)) + 4 / 7 * cost((3, 6)) + 1 / 7 * cost((1, 6))
        + 1 / 5 * cost((4, 11)) + 4 / 5 * cost((6, 11))
    )  # fmt: skip
    found = by_weights(WEIGHTS, duplicates="soft", target=Pairs.symmetric(target))
    assert found == pytest.approx((rows + columns) / 6)


def test_what_is_also_true_is_left_out_in_both_directions() -> None:
    # Text 2 also holds for ECG 0. That says nothing of text 0 and ECG 2.
    also = torch.zeros(3, 3, dtype=torch.bool)
    also[0, 2] = True
    rows, columns = cost((2, 4), (3, 10), (6, 8)), cost((2, 6), (3, 6), (6, 10))
    assert by_weights(WEIGHTS, also_true=Pairs(also, also)) == pytest.approx((rows + columns) / 2)


def test_also_true_takes_no_pair_away_that_duplicates_decides_of() -> None:
    whole_truth = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    without_own = whole_truth & ~equal_texts(SAME)
    for mode in ("infonce", "mask", "unique"):
        found, expected = (
            by_weights(WEIGHTS, duplicates=mode, text_ids_B=SAME, also_true=Pairs(also, also))
            for also in (whole_truth, without_own)
        )
        assert found == expected
        assert math.isfinite(found)
        assert found != by_weights(WEIGHTS, duplicates=mode, text_ids_B=SAME)


def test_a_target_on_a_pair_that_is_left_out_is_dropped() -> None:
    target = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    also = torch.zeros(3, 3, dtype=torch.bool)
    also[0, 2] = True
    found = by_weights(
        WEIGHTS, duplicates="soft", target=Pairs(target, target), also_true=Pairs(also, also)
    )
    assert found == pytest.approx(by_weights(WEIGHTS, also_true=Pairs(also, also)))


def test_a_row_without_any_target_costs_nothing() -> None:
    target = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=torch.float64)
    rows, columns = cost((2, 5), (3, 10)) * 2 / 3, cost((2, 6), (3, 6)) * 2 / 3
    found = by_weights(WEIGHTS, duplicates="soft", target=Pairs(target, target))
    assert found == pytest.approx((rows + columns) / 2)


def test_what_a_mode_needs_must_be_given() -> None:
    for mode in ("mask", "unique"):
        with pytest.raises(ValueError, match="needs text_ids_B"):
            by_weights(WEIGHTS, duplicates=mode)
    with pytest.raises(ValueError, match="needs target"):
        by_weights(WEIGHTS, duplicates="soft", text_ids_B=SAME)


class Cached:
    """ECG vectors and a text projection over cached vectors, of which some rows share one."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)

        def drawn(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.ids = torch.tensor([0, 1, 0, 2, 3, 1, 0, 4, 2, 5, 6, 0])
        self.cached = drawn(7, 5)
        self.findings = drawn(12, 9) > 0.4
        self.truth = drawn(12, 12) > 0.8
        self.parameters = [drawn(12, 6), drawn(5, 6), drawn(())]

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        ecg, projection, log_scale = self.parameters
        normal = torch.nn.functional.normalize
        return normal(ecg, dim=1), normal(self.cached @ projection)[self.ids], log_scale.exp()

    def gradients(self, loss: Callable[[], torch.Tensor]) -> tuple[float, list[torch.Tensor]]:
        for parameter in self.parameters:
            parameter.requires_grad_(True).grad = None
        value = loss()
        value.backward()
        return value.item(), [p.grad for p in self.parameters if p.grad is not None]


def difference(ones: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    assert len(ones) == len(others) == 3
    pairs = zip(ones, others, strict=True)
    return max(float((one - other).norm() / one.norm()) for one, other in pairs)


def test_sharing_the_target_among_duplicates_is_no_change_but_mask_and_unique_are() -> None:
    data = Cached()

    def loss(**options: object) -> torch.Tensor:
        ecg, text, scale = data.vectors()
        return clip_loss(ecg, text, ecg, text, scale, **options)

    shared = Pairs.symmetric(equal_texts(data.ids))
    plain_value, plain = data.gradients(loss)
    shared_value, same = data.gradients(lambda: loss(duplicates="soft", target=shared))
    assert shared_value == pytest.approx(plain_value, rel=1e-14)
    assert difference(plain, same) < 1e-14
    for mode in ("mask", "unique"):
        _, other = data.gradients(lambda m=mode: loss(duplicates=m, text_ids_B=data.ids))
        assert difference(plain, other) > 0.05


def clip_part(data: Cached, own: slice, mode: str, also: bool) -> torch.Tensor:
    ecg, text, scale = data.vectors()
    jaccard = label_jaccard(data.findings, data.findings).double()
    return clip_loss(
        ecg[own], text[own], ecg, text, scale, own.start,
        duplicates=mode,
        text_ids_B=data.ids,
        target=Pairs(jaccard[own], jaccard[:, own]),
        also_true=Pairs(data.truth[own], data.truth[:, own]) if also else None,
    )  # fmt: skip


def siglip_part(data: Cached, own: slice) -> torch.Tensor:
    ecg, text, scale = data.vectors()
    return siglip_loss(
        ecg[own], text, scale, scale - 3, own.start,
        target_bB=label_jaccard(data.findings[own], data.findings),
        also_true_bB=data.truth[own],
    )  # fmt: skip


def findings_part(data: Cached, own: slice, _: str) -> torch.Tensor:
    ecg, text, scale = data.vectors()
    weight = torch.arange(1, 8, dtype=torch.float64)
    return findings_loss(ecg[own], text[:7], data.truth[own, :7], scale, scale - 3, weight)


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize(
    "part",
    [
        *(
            pytest.param(lambda d, o, m=mode, a=also: clip_part(d, o, m, a), id=f"{mode}-{also}")
            for mode in ("infonce", "mask", "unique", "soft")
            for also in (False, True)
        ),
        pytest.param(siglip_part, id="siglip"),
        pytest.param(lambda d, o: findings_part(d, o, ""), id="findings"),
    ],
)
def test_the_mean_over_processes_is_the_loss_of_the_whole_batch(
    part: Callable[[Cached, slice], torch.Tensor], world: int
) -> None:
    data, n = Cached(), 12 // world
    shares = [slice(rank * n, (rank + 1) * n) for rank in range(world)]
    one, expected = data.gradients(lambda: part(data, slice(0, 12)))
    mean, found = data.gradients(
        lambda: torch.stack([part(data, share) for share in shares]).mean()
    )
    assert mean == pytest.approx(one, rel=1e-13)
    assert difference(expected, found) < 1e-12


def softplus(value: float) -> float:
    """-log sigmoid(-value)."""
    return math.log1p(math.exp(value))


def test_siglip_on_two_pairs_worked_by_hand() -> None:
    ecg = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    # 10 e . t - 5:  [5, -5], [1, 3]
    found = siglip_loss(ecg, text, 10 * ONE, -5 * ONE).item()
    assert found == pytest.approx((softplus(-5) + softplus(-5) + softplus(1) + softplus(-3)) / 2)


def test_siglip_with_graded_targets_worked_by_hand() -> None:
    ecg = torch.tensor([[2.0, -1, 0], [1, 1, -2], [0, 0.5, 3]], dtype=torch.float64)
    text = torch.eye(3, dtype=torch.float64)
    target = torch.tensor([[1, 0.25, 0], [0.25, 1, 0], [0, 0, 1]])
    also = torch.zeros(3, 3, dtype=torch.bool)
    also[2, 1] = True
    graded = 0.25 * softplus(1) + 0.75 * softplus(-1) + 0.25 * softplus(-1) + 0.75 * softplus(1)
    rest = softplus(-2) + softplus(0) + softplus(-1) + softplus(-2) + softplus(0) + softplus(-3)
    found = siglip_loss(ecg, text, ONE, 0 * ONE, target_bB=target, also_true_bB=also)
    assert found.item() == pytest.approx((graded + rest) / 3)


def test_siglip_begins_at_the_papers_size() -> None:
    # At scale 10 and bias -10 with orthogonal vectors each ECG pays for its own pair alone.
    far = torch.eye(8, dtype=torch.float64)
    scale, bias = torch.tensor(SIGLIP_LOG_SCALE).exp(), torch.tensor(SIGLIP_BIAS)
    apart = siglip_loss(far[:4], far[4:], scale, bias).item()
    assert apart == pytest.approx(10, abs=1e-3)


def test_an_own_pair_is_never_left_out_of_siglip() -> None:
    everything = torch.ones(2, 2, dtype=torch.bool)
    vectors = torch.eye(2, dtype=torch.float64)
    found = siglip_loss(vectors, vectors, ONE, 0 * ONE, also_true_bB=everything).item()
    assert found == pytest.approx(softplus(-1))


def test_findings_worked_by_hand() -> None:
    ecg = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    prompts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    truth = torch.tensor([[1, 0, 0], [0, 1, 1]])
    # 10 e . p - 2:  [8, -2, -12], [4, 6, -8]
    plain = [softplus(-8), softplus(-2), softplus(-12), softplus(4), softplus(-6), softplus(8)]
    found = findings_loss(ecg, prompts, truth, 10 * ONE, -2 * ONE)
    assert found.item() == pytest.approx(sum(plain) / 6)
    weight = torch.tensor([2.0, 3.0, 4.0], dtype=torch.float64)
    found = findings_loss(ecg, prompts, truth, 10 * ONE, -2 * ONE, weight)
    weighted = [2 * plain[0], plain[1], plain[2], plain[3], 3 * plain[4], 4 * plain[5]]
    assert found.item() == pytest.approx(sum(weighted) / 6)


def test_findings_of_which_nothing_is_known_cost_nothing_worked_by_hand() -> None:
    ecg = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    prompts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    truth = torch.tensor([[1, 0, 0], [0, 1, 0]])
    unknown = Unknown(torch.tensor([[False, True, False], [False, False, True]]), 2.5)
    # 10 e . p - 2:  [8, -2, -12], [4, 6, -8]
    known = softplus(-8) + softplus(-12) + softplus(4) + softplus(-6)
    found = findings_loss(ecg, prompts, truth, 10 * ONE, -2 * ONE, unknown=unknown)
    assert found.item() == pytest.approx(known / (2 * 2.5))


def test_positive_weights_worked_by_hand() -> None:
    counts = torch.tensor([500, 100, 10, 0])
    expected = [1, 3, math.sqrt(99), 1]
    assert positive_weights(counts, 1000).tolist() == pytest.approx(expected)
    n_known = torch.tensor([1000, 200, 20, 0])  # of each finding
    assert positive_weights(counts, n_known).tolist() == pytest.approx([1, 1, 1, 1])


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 10"):
        positive_weights(torch.tensor([11]), 10)


def test_label_jaccard_worked_by_hand() -> None:
    own = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    every = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0]], dtype=torch.bool)
    assert label_jaccard(own, every).tolist() == [[1, 0.25, 0, 0], [0, 0, 1, 0]]


def test_duplicates_are_counted() -> None:
    ids = torch.tensor([4, 4, 5, 4, 6, 5, 7, 8])
    assert duplicate_share(ids[None].numpy()) == pytest.approx(5 / 8)
    plain = (3 * math.log(3) + 2 * math.log(2)) / 8
    assert duplicate_floor(ids[None].numpy()) == pytest.approx(plain)
    assert duplicate_floor(ids[None].numpy(), "mask") == 0
    unique = (math.log(3) + math.log(2)) / 5 / 2
    assert duplicate_floor(ids[None].numpy(), "unique") == pytest.approx(unique)
    assert duplicate_share(np.arange(6)[None]) == duplicate_floor(np.arange(6)[None]) == 0
    with pytest.raises(ValueError, match="wanted infonce, mask or unique"):
        duplicate_floor(ids[None].numpy(), "soft")


@pytest.mark.parametrize("mode", ["infonce", "mask", "unique"])
def test_the_floor_is_reached_by_perfect_vectors_and_no_lower(mode: str) -> None:
    ids = torch.tensor([0, 0, 1, 0, 2, 1, 3, 4])
    perfect = torch.eye(5, dtype=torch.float64)[ids]
    floor = duplicate_floor(ids[None].numpy(), mode)
    for scale, above in ((100.0, 1e-9), (10.0, 1e-2)):
        found = clip_loss(
            perfect, perfect, perfect, perfect, scale * ONE,
            duplicates=mode, text_ids_B=ids,
        )  # fmt: skip
        assert floor - 1e-12 <= found.item() <= floor + above
