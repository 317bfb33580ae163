"""Precision and threads: chosen for the machine, kept by a run that moves to another."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from toy_training import StopAfter, run

from ecgpipe.errors import StoppedEarly
from ecgpipe.train_ecg.loop import arithmetic
from ecgpipe.train_ecg.loop.arithmetic import choose_arithmetic
from ecgpipe.train_ecg.loop.ranks import Ranks
from ecgpipe.train_ecg.trained_model import load_model

CPU = torch.device("cpu")
INTEL = "flags\t\t: fpu sse2 avx2 avx512f avx512bw amx_bf16 amx_tile\n"
AMD = "flags\t\t: fpu sse2 avx2 avx512f avx512bw avx512_bf16\n"
OLD = "flags\t\t: fpu sse2 avx2 avx512f avx512bw avx512_vnni\nbugs\t\t: amx_bf16\n"
ARM = "Features\t: fp asimd bf16\n"

SetMachine = Callable[[str], None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetMachine:
    """Makes this machine's processor look like another."""

    def set_machine(cpu_info: str) -> None:
        path = tmp_path / "cpuinfo"
        path.write_text(f"processor\t: 0\n{cpu_info}\n")
        monkeypatch.setattr(arithmetic, "_CPU_INFO", path)

    return set_machine


@pytest.mark.parametrize(
    ("cpu_info", "precision"),
    [(INTEL, "bfloat16"), (AMD, "bfloat16"), (OLD, "float32"), (ARM, "float32"), ("", "float32")],
)
def test_bfloat16_is_taken_on_processors_that_compute_in_it(
    machine: SetMachine, cpu_info: str, precision: str
) -> None:
    machine(cpu_info)
    assert choose_arithmetic("auto", CPU, Ranks()).precision == precision
    assert choose_arithmetic("float32", CPU, Ranks()).precision == "float32"
    assert choose_arithmetic("bfloat16", CPU, Ranks()).precision == "bfloat16"


def test_a_processor_that_says_nothing_of_itself_computes_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arithmetic, "_CPU_INFO", tmp_path / "missing")
    assert choose_arithmetic("auto", CPU, Ranks()).precision == "float32"


def test_bfloat16_that_a_gpu_only_emulates_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_on_turing(including_emulation: bool = True) -> bool:
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", as_on_turing)
    # There is no GPU here to hold a tensor; what is asked of the device is asked of torch.
    assert not arithmetic._computes_bfloat16(torch.device("cuda"))


def test_processes_on_unlike_machines_train_in_one_precision(machine: SetMachine) -> None:
    class BesideAnOldMachine(Ranks):
        def sum(self, tensor: torch.Tensor) -> torch.Tensor:
            return tensor + 1  # the other process lacks it

    machine(AMD)
    assert choose_arithmetic("auto", CPU, BesideAnOldMachine(0, 2)).precision == "float32"


def test_training_by_default_computes_in_what_the_processor_has(
    machine: SetMachine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says so, in the log and with the model."""
    weights = {}
    for name, cpu_info in (("bfloat16", AMD), ("float32", OLD)):
        machine(cpu_info)
        run(tmp_path / name, epochs=1, precision="auto")
        assert f"encoder in {name} on cpu x 1 with 1 thread\n" in capsys.readouterr().err
        card = load_model(tmp_path / name / "model")[1].about["training"]
        assert card["precision"] == name
        run(tmp_path / "named" / name, epochs=1, precision=name)
        weights[name] = digest(tmp_path / name)
        assert weights[name] == digest(tmp_path / "named" / name)
    assert weights["float32"] != weights["bfloat16"]


@pytest.mark.parametrize(("began", "moved"), [(AMD, OLD), (OLD, AMD)])
def test_a_run_that_moves_to_another_processor_keeps_its_precision(
    machine: SetMachine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    began: str,
    moved: str,
) -> None:
    machine(began)
    run(tmp_path / "whole", epochs=2, precision="auto")
    with pytest.raises(StoppedEarly):
        run(tmp_path / "moved", StopAfter(6), epochs=2, precision="auto")
    capsys.readouterr()
    machine(moved)
    run(tmp_path / "moved", epochs=2, precision="auto")
    said = capsys.readouterr().err
    was, here = ("bfloat16", "float32") if began == AMD else ("float32", "bfloat16")
    assert f"this run began in {was} and goes on in it" in said
    assert f"train.precision: auto would take {here} on this machine" in said
    assert digest(tmp_path / "moved") == digest(tmp_path / "whole")
    assert load_model(tmp_path / "moved" / "model")[1].about["training"]["precision"] == was


def test_a_run_that_stays_where_it_is_says_nothing_of_precision(
    machine: SetMachine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(AMD)
    run(tmp_path, epochs=1, precision="auto")
    run(tmp_path, epochs=2, precision="auto")
    assert "this run began" not in capsys.readouterr().err


@pytest.fixture
def two_threads() -> Iterator[Callable[[], None]]:
    yield lambda: torch.set_num_threads(2)
    torch.set_num_threads(1)


def test_another_number_of_threads_is_said_for_sums_round_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], two_threads: Callable[[], None]
) -> None:
    run(tmp_path, epochs=1)
    assert "on cpu x 1 with 1 thread\n" in capsys.readouterr().err
    two_threads()
    run(tmp_path, epochs=2)
    first = capsys.readouterr().err
    run(tmp_path, epochs=3)
    second = capsys.readouterr().err
    assert "this run last trained with 1 thread per process, not 2." in first
    assert "last trained with" not in second


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()
