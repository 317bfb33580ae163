"""What the page is told: of good, bad and hostile recordings, of questions and of the archive."""

import asyncio
import contextlib
import gc
import io
import json
import os
import random
from pathlib import Path
from typing import Any

import clinical_files
import numpy as np
import psutil
import pytest
from format_fuzz import KINDS
from hostile_files import WRITERS
from PIL import Image
from synthetic_ecg import ecg
from wfdb_files import write_wfdb

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.explain.explanation import explain, explanation_sheet, find_subject
from ecgpipe.apply_model.server import desk as desks
from ecgpipe.apply_model.server.uploads import MB
from ecgpipe.drawing.fonts import find_fonts
from ecgpipe.drawing.rendering import render

FOREVER = 600.0
LONG_TO_WRITE = {"bomb in disguise", "packed twice"}
"""Half a minute and more; the fuzz tests of the readers have them too."""


def parts(path: Path) -> list[tuple[str, tuple[str, bytes]]]:
    """The files of a WFDB recording."""
    files = (path.with_suffix(suffix) for suffix in (".hea", ".dat"))
    return [("file", (file.name, file.read_bytes())) for file in files]


def refusal(served: Any, name: str, content: bytes) -> str:
    (answer,) = served.send([("file", (name, content))])
    return str(answer["refusal"]["en"])


def test_scores_are_those_of_the_model(served: Any, wfdb: Any, applied: AppliedModel) -> None:
    (answer,) = served.send(wfdb)
    assert answer["name"] == "good"
    assert {"ja": "サンプリング周波数を変換", "en": "resampled"} in answer["notes"]
    stored = (1000 * ecg(75)).astype(np.int16) / 1000
    assert set(answer["tasks"]) == set(applied.tasks)
    for name, rows in answer["tasks"].items():
        expected = applied.score(applied.window(stored.astype(np.float32), 500), name)
        assert [row["id"] for row in rows] == [one.id for one in expected]
        for row, one in zip(rows, expected, strict=True):
            assert row["cosine"] == pytest.approx(one.cosine, abs=1e-5)
            assert row["threshold"] == one.threshold
            assert (row["probability"] is None) == (one.probability is None)


def test_a_class_that_too_few_show_has_no_threshold_and_no_probability(
    served: Any, wfdb: Any, applied: AppliedModel
) -> None:
    (answer,) = served.send(wfdb)
    task = applied.tasks["findings"]
    few = [row for row in answer["tasks"]["findings"] if row["n_val"] < task.min_positives]
    assert few
    assert all(row["threshold"] is None and row["probability"] is None for row in few)
    enough = [row for row in answer["tasks"]["findings"] if row["n_val"] >= task.min_positives]
    assert any(row["threshold"] is not None for row in enough)


def test_several_recordings_at_once_each_have_an_answer(
    served: Any, wfdb: Any, tmp_path: Path
) -> None:
    other = write_wfdb(tmp_path, "other", (1000 * ecg(50)).astype(np.int16))
    found = served.send([*wfdb, *parts(other), ("file", ("x.txt", b"Dear colleague"))])
    assert [one["name"] for one in found] == ["good", "other", "x.txt"]
    assert [one.get("heart_rate_bpm") and round(one["heart_rate_bpm"]) for one in found] == [
        75, 50, None,
    ]  # fmt: skip
    assert found[2]["refusal"]["en"] == "x.txt is a text, not an ECG"


def test_every_format_is_read(served: Any, tmp_path: Path) -> None:
    for name, path in clinical_files.write_all(tmp_path).items():
        (answer,) = served.send([("file", (path.name, path.read_bytes()))])
        assert "id" in answer, (name, answer)


def test_two_leads_are_refused_with_the_number_that_the_model_needs(
    served: Any, tmp_path: Path, applied: AppliedModel
) -> None:
    adc = (1000 * ecg(75)).astype(np.int16)[[6, 10]]
    found = served.send(parts(write_wfdb(tmp_path, "two", adc, leads=("V1", "V5"))))
    assert applied.contract.min_leads > 2
    assert "min_leads" in found[0]["refusal"]["en"]
    assert "data.min_leads" not in found[0]["refusal"]["en"]


def test_leads_without_a_signal_are_left_out_with_a_serious_remark(
    served: Any, tmp_path: Path
) -> None:
    adc = (1000 * ecg(75)).astype(np.int16)
    adc[9:] = 0
    (found,) = served.send(parts(write_wfdb(tmp_path, "flat", adc)))
    assert found["remarks"][0]["en"].startswith("[serious] Flat leads")
    assert "V4, V5, V6" in found["remarks"][0]["en"]
    assert found["remarks"][0]["ja"].startswith("[重要] 平坦な誘導")


def npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.zip", b"PK\x03\x04" + bytes(100), "ZIP archive"),
        ("a.pdf", b"%PDF-1.7", "PDF"),
        ("empty.dcm", b"", "empty.dcm is empty"),
        ("noise.bin", bytes(range(256)) * 100, ""),
        ("bare.npy", npy(np.zeros((12, 5000))), ""),
    ],
)
def test_what_is_no_recording_has_a_true_reason(
    served: Any, name: str, content: bytes, expected: str
) -> None:
    found = refusal(served, name, content)
    assert found
    assert expected in found


def test_a_recording_of_nothing_but_nan_is_refused(served: Any) -> None:
    facts = {"rate_hz": 500, "mv_per_unit": 1, "leads": clinical_files.LEADS}
    signal = ("nan.npy", npy(np.full((12, 5000), np.nan)))
    found = served.send([("file", signal), ("file", ("nan.json", json.dumps(facts).encode()))])
    assert [one["name"] for one in found] == ["nan.npy"]
    assert found[0]["refusal"]["en"]


def hostile(folder: Path) -> list[list[tuple[str, tuple[str, bytes]]]]:
    """A hundred uploads: bombs and absurd claims, then damaged files of every format."""
    facts = {"rate_hz": 500, "mv_per_unit": 0.001, "leads": clinical_files.LEADS}
    uploads = []
    for kind, writers in WRITERS.items():
        for number, (title, write) in enumerate(writers.items()):
            if title in LONG_TO_WRITE or (title == "bomb" and kind != "HDF5"):
                continue
            home = folder / f"{kind.strip('.')}-{number}"
            home.mkdir()
            write(home / "hostile")
            files = sorted(home.iterdir())
            if any(file.stat().st_size > 32 * MB for file in files):
                continue  # refused before it is read, see test_uploads
            uploads.append([("file", (file.name, file.read_bytes())) for file in files])
            uploads[-1].append(("file", ("arrays.json", json.dumps(facts).encode())))
    good = list(clinical_files.write_all(folder).values())
    rng = random.Random(17)
    while len(uploads) < 100:
        path = rng.choice(good)
        damaged = rng.choice(KINDS)(bytearray(path.read_bytes()), rng)
        uploads.append([("file", (path.name, bytes(damaged[: 32 * MB])))])
    return uploads


def test_a_hundred_hostile_uploads_end_in_a_message_and_leave_nothing(
    served: Any, wfdb: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    uploads = hostile(tmp_path)
    assert len(uploads) == 100
    served.send(wfdb)
    server = psutil.Process()

    def held() -> tuple[list[str], int]:
        gc.collect()
        open_files = []
        for fd in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):  # the one that lists them
                open_files.append(os.readlink(f"/proc/self/fd/{fd}"))
        return sorted(open_files), len(server.children(recursive=True))

    before, memory = held(), server.memory_info().rss
    n_refused = 0
    for files in uploads:
        for answer in served.send(files):
            assert ("id" in answer) != bool(answer.get("refusal", {}).get("en"))
            n_refused += "refusal" in answer
    assert n_refused >= 60  # some damage leaves a recording that can be read
    assert held() == before
    assert server.memory_info().rss - memory < 300 * MB
    assert list(served.folder.iterdir()) == []
    (answer,) = served.send(wfdb)
    assert "id" in answer
    assert capfd.readouterr().err == ""


def picture(content: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"), np.int16)


def test_a_sheet_is_drawn_without_a_name_on_it(served: Any, wfdb: Any) -> None:
    (answer,) = served.send(wfdb)
    response = served.client.get(f"ecgs/{answer['id']}/sheet.png?language=ja")
    assert response.headers["content-type"] == "image/png"
    assert (picture(response.content) < 60).mean() > 0.005  # traces


def test_an_explanation_is_the_sheet_that_predict_draws(
    served: Any, wfdb: Any, applied: AppliedModel
) -> None:
    (answer,) = served.send(wfdb)
    signal_uv = served.desk._kept[answer["id"]].signal_uv
    row = answer["tasks"]["superclass"][0]
    found = explain(applied, signal_uv, find_subject(applied, row["id"], "superclass"))
    rate_hz = applied.contract.rate_hz
    sheet = explanation_sheet(found, signal_uv, rate_hz, "good", "en", applied.content.notice)
    query = {"task": "superclass", "class": row["id"], "language": "en"}
    response = served.client.get(f"ecgs/{answer['id']}/explained.png", params=query)
    assert response.status_code == 200, response.text
    expected = picture(render(sheet, find_fonts(), "png", 150))
    assert np.array_equal(picture(response.content), expected)


@pytest.mark.parametrize("query", [{}, {"task": "findings"}, {"task": "x", "class": "2"}])
def test_what_is_no_class_is_not_explained(served: Any, wfdb: Any, query: Any) -> None:
    (answer,) = served.send(wfdb)
    response = served.client.get(f"ecgs/{answer['id']}/explained.png", params=query)
    assert response.status_code == 404


def test_a_second_explanation_costs_no_second_run_of_the_model(
    served: Any, wfdb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (answer,) = served.send(wfdb)
    calls = []
    real = desks.occlude

    def counting(*arguments: Any) -> Any:
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(desks, "occlude", counting)
    for row in answer["tasks"]["rhythm"][:3]:
        query = {"task": "rhythm", "class": row["id"]}
        path = f"ecgs/{answer['id']}/explained.png"
        assert served.client.get(path, params=query).status_code == 200
    assert len(calls) == 1


def test_the_models_own_wording_is_answered_with_its_score(served: Any, wfdb: Any) -> None:
    (answer,) = served.send(wfdb)
    rows = {row["names"]["ja"]: row for row in answer["tasks"]["findings"]}
    said = served.client.post(
        f"ecgs/{answer['id']}/question", json={"text": " 完全左脚ブロック "}
    ).json()
    assert said["text"] == "完全左脚ブロック"
    assert said["cosine"] == pytest.approx(rows["完全左脚ブロック"]["cosine"], abs=1e-5)
    assert 0 <= said["distance"] <= 2


def test_an_english_wording_is_put_into_the_english_prompt(
    served: Any, wfdb: Any, applied: AppliedModel
) -> None:
    (answer,) = served.send(wfdb)
    text = "Complete left bundle branch block"
    said = served.client.post(f"ecgs/{answer['id']}/question", json={"text": text}).json()
    vector = served.desk._kept[answer["id"]].vector_D
    assert said["cosine"] == pytest.approx(float(vector @ applied.encode_texts([text], "en")[0]))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"text": ""}', 400), (b'{"text": "   "}', 400), (b'{"text": 7}', 400), (b"[]", 400),
        (b"{", 400), (b"\xff", 400), (b"[" * 3000, 400), (b'{"text": "%s"}' % (b"a" * 201), 400),
        (b" " * 5000, 413),
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused(served: Any, wfdb: Any, body: bytes, status: int) -> None:
    (answer,) = served.send(wfdb)
    response = served.client.post(f"ecgs/{answer['id']}/question", content=body)
    assert response.status_code == status
    assert "one finding" in response.json()["error"]["en"]


def test_half_a_letter_is_no_question(served: Any, wfdb: Any) -> None:
    (answer,) = served.send(wfdb)
    content = b'{"text": "\\ud800"}'  # JSON can say it, but no text holds it
    response = served.client.post(f"ecgs/{answer['id']}/question", content=content)
    assert response.status_code == 422
    assert "Write it anew" in response.json()["error"]["en"]


def test_without_the_language_model_the_way_out_is_named(
    served: Any, wfdb: Any, applied: AppliedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (answer,) = served.send(wfdb)
    monkeypatch.setitem(applied.__dict__, "_text_model", str(tmp_path / "missing"))
    applied.__dict__.pop("_language_model", None)
    response = served.client.post(f"ecgs/{answer['id']}/question", json={"text": "見知らぬ所見"})
    assert response.status_code == 422
    assert "--text-model" in response.json()["error"]["ja"]


def test_the_closest_of_the_archive_is_the_same_ecg(served: Any, wfdb: Any) -> None:
    (answer,) = served.send(wfdb)
    found = served.client.get(f"ecgs/{answer['id']}/similar.json").json()["ecgs"]
    assert len(found) == 10
    assert found[0]["record"] == "record-0"
    assert found[0]["cosine"] == pytest.approx(1, abs=1e-3)
    assert [one["cosine"] for one in found] == sorted(
        (one["cosine"] for one in found), reverse=True
    )


def test_an_ecg_is_forgotten_on_request_and_when_many_others_came(
    served: Any, wfdb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desks, "KEPT", 2)
    first, second, third = (served.send(wfdb)[0]["id"] for _ in range(3))

    def status(ecg: str) -> int:
        return int(served.client.get(f"ecgs/{ecg}/similar.json").status_code)

    assert [status(ecg) for ecg in (first, second, third)] == [404, 200, 200]
    assert served.client.delete("ecgs").status_code == 200
    response = served.client.get(f"ecgs/{third}/sheet.png")
    assert response.status_code == 404
    assert "Drop it again" in response.json()["error"]["en"]


def test_two_uploads_at_once_are_both_answered(served: Any, wfdb: Any) -> None:
    import httpx2

    async def both() -> list[Any]:
        transport = httpx2.ASGITransport(served.app)
        address = f"http://127.0.0.1:8750/{served.token}/"
        async with httpx2.AsyncClient(
            transport=transport, base_url=address, timeout=FOREVER
        ) as client:
            return await asyncio.gather(*(client.post("ecgs", files=wfdb) for _ in range(2)))

    answers = [response.json()["ecgs"][0] for response in asyncio.run(both())]
    assert answers[0]["id"] != answers[1]["id"]
    assert answers[0]["tasks"] == answers[1]["tasks"]


def test_our_own_mistake_is_named_without_what_was_dropped(
    served: Any, wfdb: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("Taro Yamada")

    monkeypatch.setattr(served.desk, "receive", broken)
    response = served.client.post("ecgs", files=wfdb)
    assert response.status_code == 500
    assert "Yamada" not in response.text
    printed = capfd.readouterr()
    assert "Yamada" not in printed.err + printed.out
    assert "unforeseen ValueError in" in printed.err
