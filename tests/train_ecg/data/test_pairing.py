"""Batches and texts of an epoch: drawn fairly, and the same in every process."""

import dataclasses
from typing import Literal

import numpy as np
import pytest
import torch
from scipy import stats

from ecgpipe.cache.records_table import Record, RecordsTable
from ecgpipe.config.text import TextConfig
from ecgpipe.config.train import StepText
from ecgpipe.embed_text.prompts import fill_prompt
from ecgpipe.evaluate.tasks.taxonomy import load_taxonomy
from ecgpipe.stages import texts as texts_module
from ecgpipe.stages.texts import report_sentences, with_texts
from ecgpipe.train_ecg.data.pairing import also_true, draw_texts, epoch_batches, pad_rows, truth_of

TAXONOMY = load_taxonomy("findings98")
TWO = [finding.id for finding in TAXONOMY.findings[3:5]]
TEXT = TextConfig(model="m", prompt="所見：{text}。")


def record(findings: tuple[str, ...], report: str | None = None) -> Record:
    return Record(
        record_id="r",
        source="s",
        patient_id="p",
        split="train",
        slot=0,
        findings=findings,
        report=report,
    )


@pytest.mark.parametrize("style", ["sentence", "sampled_finding"])
@pytest.mark.parametrize("source", ["findings", "report"])
def test_equal_findings_and_equal_reports_are_worded_once(
    monkeypatch: pytest.MonkeyPatch, source: Literal["findings", "report"], style: StepText
) -> None:
    config = dataclasses.replace(TEXT, source=source)
    kinds = [record(tuple(TWO), "洞調律。左軸偏位。"), record(tuple(TWO[:1]), "洞調律。")]
    expected = [with_texts(RecordsTable((each,)), TAXONOMY, config, style)[1][0] for each in kinds]
    filled: list[str] = []

    def fill(prompt: str, text: str) -> str:
        filled.append(text)
        return fill_prompt(prompt, text)

    monkeypatch.setattr(texts_module, "fill_prompt", fill)
    table = RecordsTable(tuple(kinds[k % 2] for k in range(100)))
    _, texts = with_texts(table, TAXONOMY, config, style)
    assert texts == expected * 50
    assert len(filled) == sum(map(len, expected))


def test_each_of_a_records_texts_is_drawn_as_often_as_the_others() -> None:
    texts = pad_rows([[4, 7, 9], [2], [5, 6]])
    drawn = np.array([draw_texts(texts, 3, epoch) for epoch in range(3000)])
    assert set(drawn[:, 1]) == {2}
    for column, own in ((0, [4, 7, 9]), (2, [5, 6])):
        counts = [int((drawn[:, column] == text).sum()) for text in own]
        assert sum(counts) == 3000
        assert stats.chisquare(counts).pvalue > 1e-3


def test_a_draw_depends_on_seed_and_epoch_alone() -> None:
    texts = pad_rows([[0, 1, 2, 3]] * 200)
    first = draw_texts(texts, 0, 5)
    assert np.array_equal(first, draw_texts(texts, 0, 5))
    assert not np.array_equal(first, draw_texts(texts, 0, 6))
    assert not np.array_equal(first, draw_texts(texts, 1, 5))
    # Records draw independently: four equal records do not all say the same.
    assert len(set(first.tolist())) == 4


def test_a_column_is_also_true_where_its_text_is_one_of_the_records() -> None:
    texts = torch.from_numpy(pad_rows([[0, 2], [1], [2, 3]]))
    found = also_true(texts, torch.tensor([2, 1, 2, 0]))
    assert found.tolist() == [
        [True, False, True, True],
        [False, True, False, False],
        [True, False, True, False],
    ]


def test_the_truth_over_all_texts_has_no_place_for_what_is_absent() -> None:
    truth = truth_of(torch.from_numpy(pad_rows([[0, 2], [1], []])), 4)
    expected = [[True, False, True, False], [False, True, False, False], [False] * 4]
    assert truth.tolist() == expected


def test_findings_by_themselves_are_said_in_the_words_of_label_prompts() -> None:
    table = RecordsTable((record(tuple(TWO)), record(())))
    kept, texts = with_texts(table, TAXONOMY, TEXT, "sampled_finding")
    assert len(kept) == 1
    names = [TAXONOMY[finding].japanese for finding in TWO]
    assert texts == [[f"所見：{name}。" for name in names]]
    _, whole = with_texts(table, TAXONOMY, TEXT, "sentence")
    assert whole == [[f"所見：{'、'.join(names)}。"]]


@pytest.mark.parametrize(
    ("report", "sentences"),
    [
        ("洞調律。左室肥大を認める。", ["洞調律", "左室肥大を認める"]),
        (
            "Sinus rhythm. ST 0.2 mV in V1. No ectopy",
            ["Sinus rhythm", "ST 0.2 mV in V1. No ectopy"],
        ),
        ("AV-Block 1. Grades; Linkstyp", ["AV-Block 1. Grades", "Linkstyp"]),
        ("line one\r\n\r\nline two\n", ["line one", "line two"]),
        ("。．!?\n ", []),
    ],
)
def test_a_report_falls_into_its_sentences(report: str, sentences: list[str]) -> None:
    assert report_sentences(report) == sentences


def test_the_sentences_of_a_report_are_said_singly_and_once() -> None:
    config = TextConfig(model="m", prompt="{text}", source="report")
    table = RecordsTable((record((), "洞調律。期外収縮。洞調律。"), record((), "。")))
    kept, texts = with_texts(table, TAXONOMY, config, "sampled_finding")
    assert len(kept) == 1
    assert texts == [["洞調律", "期外収縮"]]


def test_the_same_epoch_comes_out_the_same_and_another_does_not() -> None:
    first = epoch_batches(100, 8, seed=1, epoch=5)
    assert np.array_equal(first, epoch_batches(100, 8, seed=1, epoch=5))
    assert not np.array_equal(first, epoch_batches(100, 8, seed=1, epoch=6))
    assert not np.array_equal(first, epoch_batches(100, 8, seed=2, epoch=5))


def test_no_record_comes_twice_in_an_epoch() -> None:
    batches = epoch_batches(100, 8, seed=1, epoch=5)
    assert batches.shape == (12, 8)
    assert len(np.unique(batches)) == 96


def test_what_one_epoch_leaves_out_another_brings() -> None:
    seen = {place for epoch in range(5) for place in epoch_batches(100, 32, 0, epoch).ravel()}
    assert seen == set(range(100))


def test_fewer_records_than_a_batch_give_no_batch() -> None:
    assert epoch_batches(5, 8, 0, 0).shape == (0, 8)
