"""The loss of a step: texts, loss and duplicates combined as the settings say.

Owns which texts a batch needs, which pairs are true, and of which that is unknown. Every process
knows the places of the whole global batch, so only ECG vectors are ever gathered, and a device that
holds the tables never waits. Knows no processes: it computes the loss of one part of the batch
against the whole.
N = records, K = texts of one record, U = unknown texts of one, L = labels of one, G = labels in
all, F = texts in all, R = sentences in all, V = most wordings of one text, W = width of a text
vector, B = global batch, b = rows of a part, T = texts of a step, D = joint width.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ecgpipe.config.train import TrainConfig
from ecgpipe.train_ecg.data.pairing import Rows, also_true, draw_texts, truth_of
from ecgpipe.train_ecg.data.wording_draws import WordingDraws
from ecgpipe.train_ecg.losses.loss import (
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
from ecgpipe.train_ecg.two_towers import TowerOutputs


@dataclass(frozen=True)
class Unlabelled:
    """Records that nobody labelled, which are there for what else is known of them."""

    records_N: npt.NDArray[np.bool_]
    texts_F: npt.NDArray[np.bool_]
    """The texts that a label would speak of; of those records it is unknown whether they are
    true."""


@dataclass(frozen=True, kw_only=True)
class RecordTexts:
    """The texts and labels of the training records."""

    texts_NK: Rows
    """Numbers of texts; -1 where a record has fewer."""

    labels_NL: Rows
    """Numbers of findings; -1 where a record has fewer. Only `duplicates: soft` uses them."""

    vectors_RW: npt.NDArray[np.float32]
    """The language model's vectors of the distinct sentences."""

    unknown_NU: Rows | None = None
    """Numbers of texts of which it is unknown whether they are true of a record; -1 where a record
    has fewer. None: a text that a record does not have is not true of it."""

    unlabelled: Unlabelled | None = None
    """None: every record is labelled."""

    wordings_FV: Rows | None = None
    """Rows of `vectors_RW` that may word each text, each as often as it is to be drawn; -1 where
    one has fewer. None: each text is one sentence, so row f words text f."""

    @property
    def n_texts(self) -> int:
        """F."""
        return len(self.vectors_RW if self.wordings_FV is None else self.wordings_FV)

    def counts(self) -> npt.NDArray[np.int64]:
        """(F,) how many records have each text."""
        return np.bincount(self.texts_NK[self.texts_NK >= 0], minlength=self.n_texts)

    def known_counts(self) -> npt.NDArray[np.int64]:
        """(F,) of how many records it is known whether each text is true."""
        n_records = np.full(self.n_texts, len(self.texts_NK))
        if self.unlabelled is not None:
            n_records[self.unlabelled.texts_F] -= np.count_nonzero(self.unlabelled.records_N)
        if self.unknown_NU is None:
            return n_records
        unknown = self.unknown_NU[self.unknown_NU >= 0]
        return n_records - np.bincount(unknown, minlength=self.n_texts)

    def chances(self) -> npt.NDArray[np.float64]:
        """(F, R) the chance that each sentence words each text."""
        if self.wordings_FV is None:
            return np.eye(self.n_texts)
        chances_FR = np.zeros((self.n_texts, len(self.vectors_RW)))
        texts, _ = (self.wordings_FV >= 0).nonzero()
        np.add.at(chances_FR, (texts, self.wordings_FV[self.wordings_FV >= 0]), 1)
        chances_FR /= chances_FR.sum(axis=1, keepdims=True)
        return chances_FR

    def mean_vector(self) -> npt.NDArray[np.float32]:
        """(W,) the mean over records, their texts and the wordings of these: the part that all
        texts share."""
        counts_R = self.counts().astype(np.float64)
        if self.wordings_FV is not None:
            counts_R = counts_R @ self.chances()
        mean: npt.NDArray[np.float32] = (counts_R @ self.vectors_RW / counts_R.sum()).astype("f4")
        return mean


class Objective:
    """The loss of a batch of records."""

    def __init__(self, config: TrainConfig, texts: RecordTexts, device: torch.device) -> None:
        self._config = config
        self._texts_NK_host = texts.texts_NK
        self._texts_NK = torch.from_numpy(texts.texts_NK).to(device)
        self._labels_NL = torch.from_numpy(texts.labels_NL).to(device)
        self._unknown_NU: torch.Tensor | None = None
        if texts.unknown_NU is not None:
            self._unknown_NU = torch.from_numpy(texts.unknown_NU).to(device)
        self._unlabelled: tuple[torch.Tensor, torch.Tensor] | None = None
        if (few := texts.unlabelled) is not None:
            records_N, texts_F = torch.from_numpy(few.records_N), torch.from_numpy(few.texts_F)
            self._unlabelled = records_N.to(device), texts_F.to(device)
        self._mean_known = float(texts.known_counts().sum()) / len(texts.texts_NK)
        self._n_labels = int(texts.labels_NL.max(initial=-1)) + 1
        self._vectors_RW = torch.from_numpy(texts.vectors_RW).to(device, torch.get_default_dtype())
        self._n_texts = texts.n_texts
        self._drawn_N = self._texts_NK[:, 0].clone()
        self._wordings: WordingDraws | None = None
        if texts.wordings_FV is not None:
            self._wordings = WordingDraws(texts.wordings_FV, self.n_records, config.seed, device)
        self._sentences_N = self._drawn_N.clone()
        self._positive_weight_F: torch.Tensor | None = None
        if config.balance == "sqrt":
            counts_F = torch.from_numpy(texts.counts())
            n_known_F = torch.from_numpy(texts.known_counts())
            self._positive_weight_F = positive_weights(counts_F, n_known_F).to(device)

    @property
    def n_records(self) -> int:
        """N."""
        return len(self._texts_NK)

    def draw(self, epoch: int) -> None:
        """Draw each record's text, and its wording, for this epoch, counted from 0."""
        drawn_N = draw_texts(self._texts_NK_host, self._config.seed, epoch)
        # Into the same memory, which a captured CUDA graph reads.
        self._drawn_N.copy_(torch.from_numpy(drawn_N))
        if self._wordings is None:
            self._sentences_N.copy_(self._drawn_N)
        else:
            self._wordings.begin_epoch(epoch)
            self._sentences_N.copy_(self._wordings.of_one_text(self._drawn_N))

    def duplicates_of_epoch(self, places_nB: Rows) -> dict[str, float | None]:
        """How often equal texts meet in the batches of the current epoch, and what it costs.

        Returns:
            `duplicate_share`: of rows whose text is also another row's. `loss_floor`: what the loss
            cannot fall below for that reason; None where no floor is known.
        """
        if self._config.text == "all_findings":
            return {"duplicate_share": None, "loss_floor": None}
        ids_nB = self._drawn_N.cpu().numpy()[places_nB]
        has_floor = self._config.loss == "clip" and self._config.duplicates != "soft"
        return {
            "duplicate_share": float(duplicate_share(ids_nB)),
            "loss_floor": duplicate_floor(ids_nB, self._config.duplicates) if has_floor else None,
        }

    def start_bias(self) -> float:
        """The initial value of SigLIP's bias: the log-odds of a true pair.

        The source's -10 is for batches of 32,768; leaving it takes thousands of steps.
        """
        if self._config.text == "all_findings":
            share = float((self._texts_NK_host >= 0).sum(axis=1).mean()) / self._mean_known
        else:
            share = 1 / self._config.global_batch_size
        share = min(max(share, 1e-4), 1 - 1e-4)
        return math.log(share / (1 - share))

    def text_ids(self, places: torch.Tensor) -> torch.Tensor:
        """(n,) the text of each of these records in this epoch."""
        return self._drawn_N[places]

    def text_vectors(self, places_B: torch.Tensor) -> torch.Tensor:
        """(T, W) text vectors of the whole global batch, or of all sentences of all findings."""
        if self._config.text == "all_findings":
            return self._vectors_RW
        return self._vectors_RW[self._sentences_N[places_B]]

    @property
    def compares_all_ecgs(self) -> bool:
        """Whether the loss of a part needs all ECGs, which must then be gathered."""
        return self._config.loss == "clip"

    def __call__(
        self,
        own: TowerOutputs,
        ecg_BD: torch.Tensor,
        places_B: torch.Tensor,
        part: slice,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a part, and its accuracy: the share of ECGs whose nearest text is true.

        Args:
            own: for the part's ECGs, and `text_vectors`.
            ecg_BD: unit vectors of the global batch's ECGs; used only if `compares_all_ecgs`.
            places_B: the records of the global batch.
            part: the part's rows in it.

        Returns:
            Two scalars; their means over equal parts are those of the global batch.
        """
        texts_bK, said_bF = self._texts_NK[places_B[part]], None
        unknown_bT = self._unknown(places_B, part)
        if self._config.text == "all_findings":
            true_bT = truth_of(texts_bK, self._n_texts)
            if self._wordings is not None:
                said_bF = self._wordings.of_every_text(places_B[part])
            loss = findings_loss(
                own.ecg_BD,
                own.text_TD,
                true_bT,
                own.scale,
                own.bias,
                self._positive_weight_F,
                said_bF,
                None if unknown_bT is None else Unknown(unknown_bT, self._mean_known),
            )
        else:
            true_bT = also_true(texts_bK, self.text_ids(places_B))
            loss = self._pair_loss(own, ecg_BD, places_B, part, (true_bT, unknown_bT))
        with torch.no_grad():
            cosine_bT = own.ecg_BD @ own.text_TD.T
            if said_bF is not None:
                cosine_bT = cosine_bT.gather(1, said_bF)
            if unknown_bT is not None:
                cosine_bT = cosine_bT.masked_fill(unknown_bT, -math.inf)
            nearest_b = cosine_bT.argmax(dim=1, keepdim=True)
            accuracy = true_bT.gather(1, nearest_b).float().mean()
        return loss, accuracy

    def _unknown(self, places_B: torch.Tensor, part: slice) -> torch.Tensor | None:
        """(b, T) of which texts of the step it is unknown whether they are true; None of none."""
        if self._config.text != "all_findings":
            return self._unknown_pairs(places_B[part], self.text_ids(places_B))
        unknown_bF = None
        if self._unknown_NU is not None:
            unknown_bF = truth_of(self._unknown_NU[places_B[part]], self._n_texts)
        if self._unlabelled is None:
            return unknown_bF
        records_N, texts_F = self._unlabelled
        of_label_bF = records_N[places_B[part], None] & texts_F
        return of_label_bF if unknown_bF is None else unknown_bF | of_label_bF

    def _unknown_pairs(self, places_n: torch.Tensor, ids_m: torch.Tensor) -> torch.Tensor | None:
        """(n, m) of which of some texts it is unknown whether they are true of some records."""
        unknown_nm = None
        if self._unknown_NU is not None:
            unknown_nm = also_true(self._unknown_NU[places_n], ids_m)
        if self._unlabelled is None:
            return unknown_nm
        records_N, texts_F = self._unlabelled
        of_label_nm = records_N[places_n, None] & texts_F[ids_m]
        return of_label_nm if unknown_nm is None else unknown_nm | of_label_nm

    def _pair_loss(
        self,
        own: TowerOutputs,
        ecg_BD: torch.Tensor,
        places_B: torch.Tensor,
        part: slice,
        true_and_unknown: tuple[torch.Tensor, torch.Tensor | None],
    ) -> torch.Tensor:
        true_bB, unknown_bB = true_and_unknown
        config, (ecg_bD, text_BD, scale, bias) = self._config, own
        ids_B = self.text_ids(places_B)
        target_bB = None
        if config.duplicates == "soft":
            labels_BG = truth_of(self._labels_NL[places_B], self._n_labels)
            target_bB = label_jaccard(labels_BG[part], labels_BG)
        several = self._texts_NK.shape[1] > 1
        if config.loss == "siglip":
            equal_bB = equal_texts(ids_B, part.start, len(ecg_bD))
            # With one text per record, only equal texts are true besides a row's own.
            out_bB = true_bB if config.duplicates == "mask" else true_bB & ~equal_bB
            # A text of one's own is never unknown, and so neither is one that equals it.
            out_bB = out_bB if unknown_bB is None else out_bB | unknown_bB
            return siglip_loss(
                ecg_bD, text_BD, scale, bias, part.start, target_bB=target_bB, also_true_bB=out_bB
            )
        also = None
        if several or unknown_bB is not None:
            left_out_Bb = also_true(self._texts_NK[places_B], ids_B[part])
            if (unknown_Bb := self._unknown_pairs(places_B, ids_B[part])) is not None:
                left_out_Bb = left_out_Bb | unknown_Bb
            also = Pairs(true_bB if unknown_bB is None else true_bB | unknown_bB, left_out_Bb)
        return clip_loss(
            ecg_bD,
            text_BD[part],
            ecg_BD,
            text_BD,
            scale,
            part.start,
            duplicates=config.duplicates,
            text_ids_B=ids_B,
            target=None if target_bB is None else Pairs.symmetric(target_bB),
            also_true=also,
        )
