"""The cluster that other tests submit to is a real one, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from paths import HELPERS
from slurm_cluster import SlurmCluster, SlurmError, running_cluster, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


def test_both_nodes_are_idle(slurm: SlurmCluster) -> None:
    assert slurm.node_states() == {"n1": "idle", "n2": "idle"}


def test_an_array_runs_every_task_once(slurm: SlurmCluster, tmp_path: Path) -> None:
    job = slurm.sbatch(
        f"echo $SLURM_ARRAY_TASK_ID >{tmp_path}/$SLURM_ARRAY_TASK_ID", "--array=0-7%4"
    )
    ended = slurm.wait_array(job, 8)
    assert [one.state for one in ended] == ["COMPLETED"] * 8
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == [f"{n}\n" for n in range(8)]


def test_a_job_waits_for_the_one_it_depends_on(slurm: SlurmCluster, tmp_path: Path) -> None:
    first = slurm.sbatch(f"sleep 1; touch {tmp_path}/first")
    second = slurm.sbatch(
        f"test -e {tmp_path}/first", f"--dependency=afterok:{first}", "--kill-on-invalid-dep=yes"
    )
    assert slurm.wait(second).state == "COMPLETED"


def test_a_job_behind_one_that_failed_is_cancelled(slurm: SlurmCluster) -> None:
    first = slurm.sbatch("exit 3")
    second = slurm.sbatch("true", f"--dependency=afterok:{first}", "--kill-on-invalid-dep=yes")
    ended = slurm.wait(first)
    assert (ended.state, ended.exit_code) == ("FAILED", 3)
    assert slurm.wait(second).state == "CANCELLED"


def test_a_job_with_a_gpu_knows_which_one(slurm: SlurmCluster) -> None:
    job = slurm.sbatch("echo gpu=$CUDA_VISIBLE_DEVICES", "--gpus-per-node=2")
    assert "gpu=0,1" in slurm.wait(job).output
    job = slurm.sbatch("echo gpu=$CUDA_VISIBLE_DEVICES")
    assert "gpu=\n" in slurm.wait(job).output
    with pytest.raises(SlurmError):
        slurm.sbatch("true", "--gpus-per-node=3")


def test_a_task_on_each_node(slurm: SlurmCluster) -> None:
    job = slurm.sbatch(
        "srun bash -c 'echo $SLURMD_NODENAME $SLURM_PROCID'", "-N2", "--ntasks-per-node=1"
    )
    said = slurm.wait(job).output.split("\n")
    assert sorted(said[:-1]) == ["n1 0", "n2 1"]


def test_a_job_that_requeues_itself_starts_again_within_seconds(slurm: SlurmCluster) -> None:
    script = """
    echo run ${SLURM_RESTART_COUNT:-0}
    test -n "$SLURM_RESTART_COUNT" && exit 0
    scontrol requeue $SLURM_JOB_ID
    sleep 60
    """
    started = time.monotonic()
    job = slurm.sbatch(script, "--requeue", "--open-mode=append")
    ended = slurm.wait(job)
    assert (ended.state, ended.restarts) == ("COMPLETED", 1)
    assert "run 0\n" in ended.output
    assert ended.output.endswith("run 1\n")
    assert time.monotonic() - started < 30


def test_a_job_of_high_preempts_one_of_low_after_its_signal(slurm: SlurmCluster) -> None:
    script = """
    trap 'echo warned; scontrol requeue $SLURM_JOB_ID; sleep 60' USR1
    test -n "$SLURM_RESTART_COUNT" && exec echo again
    echo began
    while :; do sleep 0.2; done
    """
    low = slurm.sbatch(
        script, "-N2", "--exclusive", "--requeue", "--open-mode=append", "--signal=B:USR1@120",
        "-t10",
    )  # fmt: skip
    slurm.wait_for(lambda: "began" in slurm.output(low), "the job of low to begin")
    high = slurm.sbatch("true", "-p", "high", "-N2", "--exclusive")
    assert slurm.wait(high, 90).state == "COMPLETED"
    ended = slurm.wait(low, 90)
    assert ended.state == "COMPLETED"
    assert "warned" in ended.output
    assert ended.output.endswith("again\n")


def test_no_job_comes_to_a_drained_node(slurm: SlurmCluster) -> None:
    slurm.drain("n1")
    try:
        jobs = [slurm.sbatch("true") for _ in range(3)]
        assert {slurm.wait(job).nodes for job in jobs} == {"n2"}
    finally:
        slurm.resume("n1")
    slurm.wait_for(lambda: slurm.node_states()["n1"] == "idle", "n1 to come back")


def test_the_completion_log_has_a_line_for_each_end(slurm: SlurmCluster) -> None:
    job = slurm.sbatch("exit 4")
    slurm.wait(job)
    slurm.wait_for(lambda: any(c["JobId"] == job for c in slurm.completions()), "its line", 10)
    [line] = [entry for entry in slurm.completions() if entry["JobId"] == job]
    assert (line["JobState"], line["ExitCode"]) == ("FAILED", "4:0")


def test_waiting_for_a_job_that_never_ends_reports_the_queue(slurm: SlurmCluster) -> None:
    job = slurm.sbatch("sleep 60")
    with pytest.raises(SlurmError, match=rf"(?s)waited 1 s for job {job}.*slurmctld.log"):
        slurm.wait(job, 1)
    slurm.cancel(job)
    assert slurm.wait(job).state == "CANCELLED"


def test_a_stopped_cluster_leaves_no_process_behind() -> None:
    known: list[SlurmCluster] = []

    def failing_test() -> None:
        with running_cluster() as cluster:
            known.append(cluster)
            job = cluster.sbatch("setsid sleep 300 & echo child; sleep 300")
            cluster.wait_for(lambda: "child" in cluster.output(job), "the job to begin")
            assert len(cluster.processes()) > 4
            raise RuntimeError("a test that fails")

    with pytest.raises(RuntimeError, match="a test that fails"):
        failing_test()
    [cluster] = known
    assert cluster.processes() == []
    assert not cluster.folder.exists()


def test_the_daemons_die_with_killed_tests() -> None:
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import slurm_cluster as s\n"
        "with s.running_cluster() as c:\n"
        "    print(c.folder, flush=True); time.sleep(300)\n"
    )
    tests = str(HELPERS)
    process = subprocess.Popen(
        [sys.executable, "-c", program, tests], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        folder = Path(process.stdout.readline().strip())
    left = SlurmCluster(folder, dict(os.environ))
    assert len(left.processes()) >= 3
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 10
    while left.processes() and time.monotonic() < end:
        time.sleep(0.1)
    assert left.processes() == []
    subprocess.run(["rm", "-rf", str(folder.parent)], check=True)
