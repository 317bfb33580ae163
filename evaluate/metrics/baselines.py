"""Scores of models that know less, for comparison with every metric.

Owns the baselines' scores; the metrics are `scoring`'s. N = records, C = classes.
"""

import itertools

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Booleans = npt.NDArray[np.bool_]

N_SHUFFLES = 20
_FEW_CLASSES = 4  # so that all derangements, at most nine, are used


def prior_scores(train_counts_C: npt.NDArray[np.int64], n: int) -> Scores:
    """The classes' order by frequency in training, the same for every record (n, C).

    Of equally frequent classes the first comes first: a tie would count against the baseline.
    """
    preference = np.argsort(np.argsort(-train_counts_C, kind="stable"), kind="stable")
    return np.tile(-preference.astype(np.float32), (n, 1))


def shuffles(n_classes: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Orders of the classes in which none keeps its own prompt: all for up to 4 classes, else 20.

    The prompts keep the model's vectors but belong to the wrong classes. What a model gains because
    some prompts are closer to all ECGs, or because classes are common, stays; what it gains because
    the right prompt is close to the right ECG goes. A single class has no such order.
    """
    if n_classes <= _FEW_CLASSES:
        every = itertools.permutations(range(n_classes))
        return [np.array(order) for order in every if all(p != c for c, p in enumerate(order))]
    rng = np.random.default_rng(seed)
    found: dict[tuple[int, ...], npt.NDArray[np.int64]] = {}
    while len(found) < N_SHUFFLES:
        order = rng.permutation(n_classes)
        if (order != np.arange(n_classes)).all():
            found.setdefault(tuple(order.tolist()), order)
    return list(found.values())


def ecg_shuffles(patient_of_N: npt.NDArray[np.int64], seed: int) -> list[npt.NDArray[np.int64]]:
    """Orders of the records that give each record another patient's ECG: 20, none for one patient.

    What a model still scores by then it owes to answering the common classes more often, not to the
    ECGs. If one patient has more than half of the records, some keep an ECG of theirs.
    """
    _, of_N, counts_P = np.unique(patient_of_N, return_inverse=True, return_counts=True)
    if len(counts_P) < 2:
        return []
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(N_SHUFFLES):
        place_P, chance_N = rng.permutation(len(counts_P)), rng.random(len(of_N))
        # Patients in random order, around a circle: nobody's block is longer than the step.
        circle_N = np.lexsort((chance_N, place_P[of_N]))
        order_N = np.empty_like(circle_N)
        order_N[circle_N] = np.roll(circle_N, counts_P.max())
        found.append(order_N)
    return found


def log_prior_adjusted(
    scores_NC: Scores, scale: float, train_counts_C: npt.NDArray[np.int64], n_train: int
) -> Scores:
    """scale x cosine + log of each class's frequency in training.

    The model's logits with Bayes' rule for the class prior. It uses label counts, so it is not
    zero-shot. Half a record is added to each class, or a class without records could never win.

    Args:
        scores_NC: cosines.
        scale: the model's own, 1 / temperature.
        train_counts_C: training records that show each class.
        n_train: training records that would be scored.

    Source: Menon et al. 2021 (logit adjustment), with the sign of adding a prior.
    """
    log_prior = np.log((train_counts_C + 0.5) / (n_train + 1))
    adjusted: Scores = (scale * scores_NC.astype(np.float64) + log_prior).astype(np.float32)
    return adjusted
