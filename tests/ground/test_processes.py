"""Which share of the work a process does, from what launchers and schedulers really say."""

import pytest

from ecgpipe.errors import ConfigError
from ecgpipe.processes import Share, local_rank, share_of_work

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
SRUN = {"SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4"}
# A batch script sees a rank as well, though it is alone.
SBATCH = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "4"}
SLURM_ARRAY = {
    "SLURM_ARRAY_TASK_ID": "5",
    "SLURM_ARRAY_TASK_MIN": "1",
    "SLURM_ARRAY_TASK_MAX": "8",
    "SLURM_ARRAY_TASK_STEP": "1",
}
GRID_ENGINE = {
    "SGE_TASK_ID": "7",
    "SGE_TASK_FIRST": "1",
    "SGE_TASK_LAST": "10",
    "SGE_TASK_STEPSIZE": "3",
}


@pytest.mark.parametrize(
    ("shard", "environment", "expected"),
    [
        (None, {}, Share(0, 1)),
        ("0/1", {}, Share(0, 1)),
        ("7/8", {}, Share(7, 8)),
        (None, TORCHRUN, Share(3, 8)),
        (None, SRUN, Share(2, 4)),
        (None, SBATCH, Share(0, 1)),
        (None, SLURM_ARRAY, Share(0, 1)),
        ("array", SLURM_ARRAY, Share(4, 8)),
        ("array", GRID_ENGINE, Share(2, 4)),
        ("array", {**GRID_ENGINE, "SGE_TASK_ID": "undefined", **SLURM_ARRAY}, Share(4, 8)),
        ("1/2", TORCHRUN, Share(11, 16)),
        ("array", {**SLURM_ARRAY, **SRUN}, Share(4 * 4 + 2, 32)),
        ("array/9", SLURM_ARRAY, Share(5, 9)),
        ("array/10", GRID_ENGINE, Share(6, 10)),
        ("array/8", {"PBS_ARRAY_INDEX": "0"}, Share(0, 8)),
        ("array/8", {"PBS_ARRAYID": "7"}, Share(7, 8)),
        ("array/8", {"PJM_BULKNUM": "3"}, Share(3, 8)),
        ("array/8", {"SGE_TASK_ID": "undefined", "PBS_ARRAY_INDEX": "3"}, Share(3, 8)),
        ("2/8", {"PBS_ARRAY_INDEX": "3"}, Share(2, 8)),
    ],
)
def test_the_share_follows_from_launcher_and_option(
    shard: str | None, environment: dict[str, str], expected: Share
) -> None:
    assert share_of_work(shard, environment) == expected


@pytest.mark.parametrize("count", [1, 2, 7])
def test_shares_of_all_processes_are_everything_once(count: int) -> None:
    found = [
        share_of_work(f"{outer}/{count}", {"RANK": str(inner), "WORLD_SIZE": "3"})
        for outer in range(count)
        for inner in range(3)
    ]
    assert found == [Share(index, 3 * count) for index in range(3 * count)]


@pytest.mark.parametrize("shard", ["8/8", "1", "a/b", "-1/4", "1/0", "", "1/2/3"])
def test_a_malformed_shard_says_how_to_write_it(shard: str) -> None:
    with pytest.raises(ConfigError, match="counted from 0"):
        share_of_work(shard, {})


def test_an_array_that_is_not_there_says_what_to_do_on_other_schedulers() -> None:
    for environment in ({}, {"PBS_ARRAY_INDEX": "3"}, {"SGE_TASK_ID": "undefined"}):
        with pytest.raises(ConfigError, match=r"--shard array/8, or --shard \$PBS_ARRAY_INDEX/8"):
            share_of_work("array", environment)


def test_one_task_of_an_array_that_is_queued_anew_keeps_its_share() -> None:
    alone = {f"SLURM_ARRAY_TASK_{name}": "5" for name in ("ID", "MIN", "MAX")}
    assert share_of_work("array/8", alone) == Share(5, 8)


@pytest.mark.parametrize(
    "environment",
    [{}, {"SGE_TASK_ID": "undefined"}, {"PBS_ARRAY_INDEX": "8"}, {"SGE_TASK_ID": "0"},
     {"PJM_BULKNUM": "x"}],
)  # fmt: skip
def test_an_index_that_is_none_of_the_array_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"--shard array/8: .* Give the share as i/n"):
        share_of_work("array/8", environment)


def test_each_process_of_a_machine_gets_its_own_gpu() -> None:
    assert local_rank(TORCHRUN) == 1
    assert local_rank({**SRUN, "SLURM_LOCALID": "3"}) == 3
    assert local_rank({**SBATCH, "SLURM_LOCALID": "3"}) == 0
