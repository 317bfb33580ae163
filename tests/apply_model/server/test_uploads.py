"""Files of a request: names that lead nowhere, limits, and a folder of which nothing is left."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ecgpipe.apply_model.server import uploads
from ecgpipe.apply_model.server.uploads import MB, placed, private_folder, safe_name, sweep


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("good.hea", "good.hea"),
        ("心電図 1.xml", "心電図 1.xml"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\yamada\\ecg.dcm", "ecg.dcm"),
        ("/etc/cron.d/x", "x"),
        ("..", "ecg"),
        ("", "ecg"),
        (".lock", "lock"),
        ("-rf", "rf"),
        ("a\0b\n\x1b[31m.dat", "a_b__[31m.dat"),
        ("\u202egpj.exe", "_gpj.exe"),
    ],
)
def test_a_name_of_the_client_is_never_a_path(stated: str, expected: str) -> None:
    assert safe_name(stated, set()) == expected


def test_a_long_name_keeps_its_ending_and_a_second_one_is_another() -> None:
    taken: set[str] = set()
    names = [safe_name("波" * 300 + ".dat", taken) for _ in range(3)]
    assert all(name.endswith("波.dat") and len(name.encode()) < 140 for name in names)
    assert len({name.casefold() for name in names}) == 3
    assert safe_name("x" * 5000, taken) == "x" * 120


def sent(served: Any, *files: tuple[str, bytes]) -> tuple[int, str]:
    response = served.client.post("ecgs", files=[("file", file) for file in files])
    return response.status_code, response.json().get("error", {}).get("en", "")


def test_what_is_too_large_or_too_many_is_refused_with_the_limit(served: Any) -> None:
    assert sent(served, ("a", bytes(32 * MB + 1)))[0] == 413
    assert "32 MB a file, 64 MB at once" in sent(served, ("a", bytes(32 * MB + 1)))[1]
    status, why = sent(served, *((f"{n}.csv", b"x") for n in range(21)))
    assert (status, "20 at once" in why) == (413, True)
    status, why = sent(served, *((f"{n}", bytes(22 * MB)) for n in range(3)))
    assert (status, "64 MB at once" in why) == (413, True)


def test_a_request_that_hides_its_size_is_cut_at_the_limit(served: Any) -> None:
    sent_bytes = 0

    def endless() -> Any:
        nonlocal sent_bytes
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        while sent_bytes < 200 * MB:
            sent_bytes += MB
            yield bytes(MB)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = served.client.post("ecgs", content=endless(), headers=headers)
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x\r\nnonsense"),
        ("multipart/form-data; boundary=x", b"--x\r\nA: b\r\n\r\nnothing\r\n--x--\r\n"),
        ("multipart/form-data; boundary=" + "x" * 300, b"--x--"),
        ("multipart/form-data; boundary=x; charset=klingon", b"--y\r\n\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"A" * 100_000),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nfield\r\n--x--\r\n',
        ),
    ],
)
def test_a_request_that_is_no_upload_is_refused(served: Any, kind: str, body: bytes) -> None:
    response = served.client.post("ecgs", content=body, headers={"content-type": kind})
    assert response.status_code in (400, 415)
    assert "no files" in response.json()["error"]["en"]


def test_an_upload_of_any_size_never_touches_a_disk(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spilled(*_: Any, **__: Any) -> None:
        raise AssertionError("a file was written outside the private folder")

    monkeypatch.setattr("tempfile.TemporaryFile", spilled)  # what a SpooledTemporaryFile becomes
    (answer,) = served.send([("file", ("large.bin", os.urandom(20 * MB)))])
    assert "refusal" in answer
    assert list(served.folder.iterdir()) == []


def test_a_folder_is_private_and_gone_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    with private_folder() as folder:
        if Path("/dev/shm").is_dir():
            assert folder.parent == Path("/dev/shm")
        assert folder.stat().st_mode & 0o777 == 0o700
        with placed([("a.dat", b"1")], folder) as inner:
            assert (inner / "a.dat").read_bytes() == b"1"
            assert inner.stat().st_mode & 0o777 == 0o700
        assert not inner.exists()
    assert not folder.exists()


def test_without_a_file_system_in_memory_the_temporary_folder_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_MEMORY", tmp_path / "missing")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with private_folder() as folder:
        assert folder.parent == tmp_path


def test_what_a_killed_server_left_is_removed_by_the_next_and_a_living_one_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_MEMORY", tmp_path)
    program = f"""
import time
from pathlib import Path
from ecgpipe.apply_model.server import uploads
uploads._MEMORY = Path({str(tmp_path)!r})
with uploads.private_folder() as folder:
    (folder / "patient.dat").write_text("secret")
    print(folder, flush=True)
    time.sleep(60)
"""
    server = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        left = Path(server.stdout.readline().strip())
        with private_folder():
            assert (left / "patient.dat").exists()  # its server lives
        server.kill()
        server.wait(20)
        assert (left / "patient.dat").exists()
        with private_folder():
            assert not left.exists()
    finally:
        server.kill()
        server.communicate()


def test_only_folders_of_servers_are_swept_and_a_link_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / ".lock").touch()
    (tmp_path / "ecgpipe-serve-link").symlink_to(other)
    fresh = tmp_path / "ecgpipe-serve-new"
    fresh.mkdir()  # one that is just being made
    old = tmp_path / "ecgpipe-serve-old"
    old.mkdir()
    hour_ago = time.time() - 3600
    os.utime(old, (hour_ago, hour_ago))
    sweep(tmp_path)
    assert other.exists()
    assert fresh.exists()
    assert not old.exists()
