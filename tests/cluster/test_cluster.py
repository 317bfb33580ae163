"""Batch scripts: what they say, what a shell makes of them, and whole chains run by schedulers.

The schedulers here are helpers/fake_scheduler.py: the scripts run for real, the queue does not.
"""

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import stub_ecgpipe
import yaml
from fake_scheduler import End, FakeScheduler
from paths import GOLDEN as GOLDEN_FILES
from wfdb_files import ecg_like, write_wfdb

from ecgpipe.cluster.chain import Invocation, build_chain
from ecgpipe.cluster.dialects import DIALECTS
from ecgpipe.cluster.job import After, Job, Site
from ecgpipe.cluster.queueing import rehearse
from ecgpipe.cluster.shell_words import quote_except_variables
from ecgpipe.config.cluster import (
    ClusterConfig,
    EmbedJob,
    EvalJob,
    PrepareJob,
    Scheduler,
    StageJob,
    TrainJob,
)
from ecgpipe.config.file import load_cluster, load_config
from ecgpipe.errors import ConfigError, QueueError
from ecgpipe.stages.cluster.submit import Submission, as_text, run_submit
from ecgpipe.stages.experiment import Experiment
from ecgpipe.variants import load_variants

GOLDEN = GOLDEN_FILES / "cluster"
SCHEDULERS = get_args(Scheduler)
STAGES = ("prepare", "embed", "train", "eval")

# Of the real systems whose words these are.
RESOURCES: dict[str, dict[str, str | None]] = {
    "slurm": dict.fromkeys(STAGES),
    "pbs": dict.fromkeys(STAGES),
    "grid_engine": {
        "prepare": "cpu_8=1",
        "embed": "gpu_1=1",
        "train": "node_f=2",
        "eval": "gpu_1=1",
    },
    "pjm": dict.fromkeys(STAGES),
}


def example(scheduler: Scheduler) -> tuple[tuple[Job, ...], Site]:
    """A chain that uses everything: arrays, two nodes of two GPUs, modules, an odd folder."""
    resources = RESOURCES[scheduler]
    cluster = ClusterConfig(
        scheduler=scheduler,
        account="ecg-group",
        queue="gpu",
        modules=("cuda/12.4",),
        setup=("source .venv/bin/activate",),
        scratch="/local/$USER/my cache",
        options=("--mail-type=END",) if scheduler == "slurm" else (),
        prepare=PrepareJob(shards=4, queue="cpu", resources=resources["prepare"]),
        embed=EmbedJob(shards=8, memory_gb=64, resources=resources["embed"]),
        train=TrainJob(nodes=2, gpus=2, resources=resources["train"]),
        eval=EvalJob(resources=resources["eval"]),
    )
    jobs_folder = Path("/data/心電図/it's $5/kept/runs/trial/jobs")
    invocation = Invocation(program=("ecgpipe",), config=jobs_folder / "settings-0a1b2c3d.yaml")
    site = Site(
        run_name="trial",
        folder=Path("/data/心電図/it's $5"),
        jobs_folder=jobs_folder,
        account=cluster.account,
        modules=cluster.modules,
        setup=cluster.setup,
        scratch=cluster.scratch,
        version="1.0",
    )
    return build_chain(cluster, invocation, STAGES, retries=3), site


GOLDEN_NAMES = [(scheduler, place) for scheduler in SCHEDULERS for place in range(4)]


@pytest.mark.parametrize(("scheduler", "place"), GOLDEN_NAMES)
def test_scripts_equal_the_golden_files(scheduler: Scheduler, place: int) -> None:
    """After a change that is meant, write them with UPDATE_GOLDEN=1 and read the difference."""
    jobs, site = example(scheduler)
    path = GOLDEN / f"{scheduler}-{jobs[place].file_name}"
    script = DIALECTS[scheduler].script(jobs[place], site)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(script, encoding="utf-8")
    assert script == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("scheduler", "place"), GOLDEN_NAMES)
def test_a_shell_can_read_every_script(scheduler: Scheduler, place: int) -> None:
    jobs, site = example(scheduler)
    script = DIALECTS[scheduler].script(jobs[place], site)
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_shellcheck_finds_nothing_in_any_script() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    scripts = sorted(map(str, GOLDEN.glob("*.sh")))
    assert len(scripts) == 16
    # SC1091: files that are only on the node. SC2016: `$` that is meant for another shell. SC2317:
    # a function that only a trap calls.
    command = ["shellcheck", "--exclude=SC1091,SC2016,SC2317", *scripts]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_all_schedulers_get_the_same_request_in_their_own_syntax() -> None:
    train = {name: DIALECTS[name].script(*_train_of(name)) for name in SCHEDULERS}
    for line in ("--nodes=2", "--ntasks-per-node=2", "--gpus-per-node=2", "--time=12:00:00"):
        assert f"#SBATCH {line}\n" in train["slurm"]
    assert "#PBS -l select=2:ncpus=16:ngpus=2:mpiprocs=2\n" in train["pbs"]
    assert "#$ -l node_f=2\n" in train["grid_engine"]
    assert "#PJM -L node=2\n" in train["pjm"]
    for script in train.values():
        assert "--max-minutes 710" in script  # 12 hours less ten minutes
        assert "HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_DATASETS_OFFLINE=1" in script


def _train_of(scheduler: Scheduler) -> tuple[Job, Site]:
    jobs, site = example(scheduler)
    return jobs[2], site


def test_only_ranks_of_srun_are_signalled_by_slurm_itself() -> None:
    jobs, site = example("slurm")
    signals = [re.search(r"--signal=(\S+)", DIALECTS["slurm"].script(j, site))[1] for j in jobs]
    assert signals == ["B:USR1@600", "B:USR1@600", "USR1@600", "B:USR1@600"]


def test_a_short_job_works_for_nine_tenths_of_its_time() -> None:
    cluster = ClusterConfig(scheduler="slurm", eval=EvalJob(hours=0.5))
    (job,) = build_chain(cluster, Invocation(program=("e",), config=Path("c")), ["eval"], 0)
    assert job.command[-2:] == ("--max-minutes", "27")


@pytest.mark.parametrize(
    ("scheduler", "printed", "job_id"),
    [
        ("slurm", "123\n", "123"),
        ("slurm", "123;cluster\n", "123"),
        ("slurm", "sbatch: a remark of the site\n123\n", "123"),
        ("slurm", "Submitted batch job\n", None),
        ("pbs", "123.server.site.jp\n", "123.server.site.jp"),
        ("pbs", "123[].server\n", "123[].server"),
        ("pbs", "", None),
        ("grid_engine", "6\n", "6"),
        ("grid_engine", "6.1-3:1\n", "6"),
        ("grid_engine", "Your job 6 has been submitted\n", None),
        ("pjm", "[INFO] PJM 0000 pjsub Job 12345 submitted.\n", "12345"),
        ("pjm", "[INFO.] PJM 0000 pjsub Job 64856_1 submitted.\n", "64856_1"),
        ("pjm", "[ERR.] PJM 0021 pjsub no such group.\n", None),
    ],
)
def test_job_ids_are_parsed_from_the_commands_output(
    scheduler: Scheduler, printed: str, job_id: str | None
) -> None:
    assert DIALECTS[scheduler].read_id(printed) == job_id


@pytest.mark.parametrize(
    ("scheduler", "after", "words"),
    [
        ("slurm", After("7"), ["sbatch", "--parsable", "--dependency=afterok:7"]),
        ("pbs", After("7[].s"), ["qsub", "-W", "depend=afterok:7[].s"]),
        ("pbs", After(None, "7.s"), ["qsub", "-W", "depend=afterany:7.s"]),
        ("pbs", After("6.s", "7.s"), ["qsub", "-W", "depend=afterok:6.s,afterany:7.s"]),
        ("grid_engine", After("7"), ["qsub", "-terse", "-g", "ecg-group", "-hold_jid", "7"]),
        ("pjm", After("7_0"), ["pjsub", "--step", "--sparam", "jid=7,sn=1,sd=ec!=0:all:0"]),
        ("pjm", After(None, "7_1"), ["pjsub", "--step", "--sparam", "jid=7,sn=2"]),
        ("pjm", After("7_1", "7_2"), ["pjsub", "--step", "--sparam", "jid=7,sn=3,sd=ec!=0:all:1"]),
        ("pjm", None, ["pjsub", "--step", "--sparam", "sn=0"]),
    ],
)
def test_dependencies_are_written_in_each_schedulers_syntax(
    scheduler: Scheduler, after: After | None, words: list[str]
) -> None:
    jobs, site = example(scheduler)
    assert DIALECTS[scheduler].submit(jobs[3], site, after) == [*words, "4-eval.sh"]


def test_a_container_sees_its_folders_and_its_gpus() -> None:
    cluster = ClusterConfig(container=Path("/im/e cg.sif"), binds=(Path("/ecg"), Path("/w")))
    invocation = Invocation(program=("ecgpipe",), config=Path("/w/c.yaml"), folders=(Path("/w"),))
    prepare, embed = build_chain(cluster, invocation, ["prepare", "embed"], 0)
    shown = ("--bind", "/w", "--bind", "/ecg", "/im/e cg.sif", "ecgpipe")
    assert prepare.command[:8] == ("apptainer", "exec", *shown)
    assert embed.command[:9] == ("apptainer", "exec", "--nv", *shown)
    odd = dataclasses.replace(cluster, binds=(Path("/a:b"),))
    with pytest.raises(ConfigError, match="cannot escape ':'"):
        build_chain(odd, invocation, ["eval"], 0)


@pytest.mark.parametrize("text", ["/local/$USER/a b", "$X", 'q"`\\x', "$(reboot)", "100 %$", "~é"])
def test_the_shell_expands_only_variables(text: str) -> None:
    environment = {"USER": "yuki", "X": "two words; *", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-c", f"printf %s {quote_except_variables(text)}"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == text.replace("$USER", "yuki").replace("$X", "two words; *")


def test_quoted_words_stay_single_words() -> None:
    words = ["printf", "%s|", "a b", "it's", "$HOME", "心電図", "--x=;rm", "", "new\nline"]
    done = subprocess.run(["bash", "-c", shlex.join(words)], capture_output=True, text=True)
    assert done.stdout.split("|")[:-1] == words[2:]


class Cluster:
    """An experiment in an odd folder, and a scheduler that runs the stand-in for ecgpipe."""

    def __init__(self, folder: Path, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / '心電図 it\'s $HOME `x` "q"'
        self.folder.mkdir()
        self.scheduler = scheduler
        self.fake = FakeScheduler(folder / "scheduler", scheduler)
        self.path = self.folder / "pipeline.yaml"
        self.resources = {"resources": "x=1"} if scheduler == "grid_engine" else {}
        self.settings: dict[str, Any] = {
            "name": "試験 $1",
            "data": {"sources": [{"kind": "table", "table": "records.csv"}]},
            "text": {"model": "org/model"},
            "cluster": {
                "scheduler": scheduler,
                "setup": [f"export PATH={folder}/bin:$PATH"],
                "retries": 2,
                "scratch": "$NOT_SET",
                **{stage: dict(self.resources) for stage in STAGES},
            },
        }
        stub = folder / "bin" / "ecgpipe"
        stub.parent.mkdir()
        stub.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{stub_ecgpipe.__file__}" "$@"\n')
        stub.chmod(0o755)
        monkeypatch.setenv("STUB_FOLDER", str(self.folder))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "no settings"))
        paths = [str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        monkeypatch.setenv("PATH", self.fake.environment["PATH"])

    def submit(
        self,
        seeds: str | None = None,
        grids: Sequence[str] = (),
        change: Sequence[str] = (),
        **options: Any,
    ) -> Submission:
        self.path.write_text(yaml.safe_dump(self.settings, allow_unicode=True), encoding="utf-8")
        experiment = Experiment(load_config(self.path))
        cluster = load_cluster(self.path, change)
        variants = load_variants(self.path, (), seeds, grids)[0] if seeds or grids else []
        return run_submit(experiment, cluster, self.folder, variants, **options)

    def calls(self) -> list[dict[str, Any]]:
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def tell(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    def done(self) -> Counter[str]:
        return Counter(path.name.split("-")[1] for path in self.folder.glob("done-*"))


@pytest.fixture(params=SCHEDULERS)
def cluster(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Cluster:
    return Cluster(tmp_path, request.param, monkeypatch)


def submit_all(cluster: Cluster, **options: Any) -> list[End]:
    """Queue and run the chain; where an array must go by itself, queue the rest after it."""
    submission = cluster.submit(**options)
    ends = cluster.fake.run()
    for stage in submission.left_for_later:  # what `--resume` does once the artefacts are there
        place = STAGES.index(stage)
        if not cluster.done()[stage]:
            queue_from(cluster, place, **options)
            ends = cluster.fake.run()
    return ends


def queue_from(cluster: Cluster, place: int, **options: Any) -> Submission:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ecgpipe.stages.cluster.submit.missing_stages", lambda *_: STAGES[place:])
        return cluster.submit(only_missing=True, **options)


def test_a_chain_runs_every_share_once_and_in_order(cluster: Cluster) -> None:
    ends = submit_all(cluster, change=["cluster.prepare.shards=2", "cluster.embed.shards=3"])
    assert all(end.codes == [0] for end in ends), [end.log for end in ends]
    calls = cluster.calls()
    stages = [call["stage"] for call in calls]
    assert stages == sorted(stages, key=STAGES.index)
    shares = {stage: {tuple(c["share"]) for c in calls if c["stage"] == stage} for stage in STAGES}
    assert shares["prepare"] == {(0, 2), (1, 2)}
    assert shares["embed"] == {(0, 3), (1, 3), (2, 3)}
    assert shares["train"] == shares["eval"] == {(0, 1)}
    for call in calls:
        assert call["cwd"] == str(cluster.folder)
        assert Path(call["options"]["--config"]).exists()
        assert call["environment"]["HF_HUB_OFFLINE"] == "1"
        assert call["environment"]["HF_DATASETS_OFFLINE"] == "1"
        assert call["environment"]["TRITON_CACHE_DIR"] == f"/tmp/ecgpipe-{os.getuid()}/triton"
    config = load_config(Path(calls[0]["options"]["--config"]))
    assert config.data.sources[0].table == cluster.folder / "records.csv"


def test_a_stopped_stage_continues_before_the_next_one_starts(cluster: Cluster) -> None:
    cluster.tell("wait-train-0", "2")
    cluster.submit()
    ends = cluster.fake.run(stop={("train", None): 2})
    assert cluster.done() == Counter(STAGES)
    train = [code for end in ends if end.stage == "train" for code in end.codes]
    assert train == ([99, 99, 0] if cluster.scheduler == "grid_engine" else [75, 75, 0])
    assert [call["stage"] for call in cluster.calls()].index("eval") > 4


def test_a_stopped_array_task_is_requeued_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path, "slurm", monkeypatch)
    cluster.tell("wait-embed-2", "1")
    cluster.submit(change=["cluster.embed.shards=3"])
    ends = cluster.fake.run(stop={("embed", 2): 1})
    assert [e.codes for e in ends if e.stage == "embed"] == [[0], [0], [75, 0]]
    assert cluster.done()["eval"] == 1


def test_retries_are_limited(cluster: Cluster) -> None:
    cluster.tell("wait-prepare-0", "9")
    cluster.submit()
    ends = cluster.fake.run(stop={("prepare", None): 9})
    starts = [code for end in ends if end.stage == "prepare" for code in end.codes]
    assert len(starts) == 3  # and two retries
    assert starts[-1] == 75
    assert not cluster.done()
    later = [c for c in cluster.calls() if c["stage"] != "prepare"]
    # Grid Engine releases those that wait; they look at their input and end.
    assert len(later) == (3 if cluster.scheduler == "grid_engine" else 0)


def test_nothing_runs_after_a_failed_stage(cluster: Cluster) -> None:
    cluster.tell("fail-embed")
    cluster.submit()
    ends = cluster.fake.run()
    assert cluster.done() == Counter(["prepare"])
    if cluster.scheduler == "grid_engine":
        assert [end.codes for end in ends[1:]] == [[1], [1], [1]]
        assert "embed has not been done" in ends[-2].log
    else:
        assert [end.codes for end in ends if end.stage in ("train", "eval")][-1] == []


def test_a_signal_before_the_command_listens_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path, "slurm", monkeypatch)
    marker = tmp_path / "second"
    (tmp_path / "bin" / "ecgpipe").write_text(  # dies of USR1, as Python does while it imports
        f'#!/bin/sh\n[ -e "{marker}" ] && exit 0\ntouch "{marker}"; echo ready; exec sleep 20\n'
    )
    cluster.submit(until="prepare")
    (end,) = cluster.fake.run(stop={("prepare", None): 1})
    assert end.codes == [75, 0]


def test_a_signal_while_modules_load_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path, "slurm", monkeypatch)
    marker = tmp_path / "second"
    cluster.settings["cluster"]["setup"].append(
        f"[ -e {marker} ] || {{ touch {marker}; echo ready; sleep 0.5; }}"
    )
    cluster.submit(until="prepare")
    (end,) = cluster.fake.run(stop={("prepare", None): 1})
    assert end.codes == [75, 0]


@pytest.mark.parametrize("before", ["start", "children+="])
def test_a_signal_while_the_command_starts_is_not_forgotten(
    before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked just before the shell would start the command, and before it has noted its number."""
    cluster = Cluster(tmp_path, "slurm", monkeypatch)
    marker = tmp_path / "second"
    (tmp_path / "bin" / "ecgpipe").write_text(f'#!/bin/sh\n[ -e "{marker}" ] || exec sleep 20\n')
    cluster.settings["cluster"]["setup"] += [
        f"[ -e {marker} ] || asks=1",
        f'ask() {{ [[ $asks && $1 == "{before}"* ]] && {{ asks=; kill -s USR1 $$; }}; }}',
        "set -o functrace; trap 'ask \"$BASH_COMMAND\"' DEBUG",
        f"trap 'touch {marker}' EXIT",
    ]
    cluster.submit(until="prepare")
    (end,) = cluster.fake.run()
    assert end.codes == [75, 0]


def test_each_gpu_of_a_node_gets_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path, "pbs", monkeypatch)
    cluster.submit(change=["cluster.train.gpus=4"])
    cluster.fake.run()
    ranks = [call["environment"] for call in cluster.calls() if call["stage"] == "train"][:4]
    assert sorted(rank["RANK"] for rank in ranks) == ["0", "1", "2", "3"]
    assert {rank["WORLD_SIZE"] for rank in ranks} == {"4"}
    assert {rank["MASTER_ADDR"] for rank in ranks} == {"127.0.0.1"}
    assert all(rank["RANK"] == rank["LOCAL_RANK"] for rank in ranks)
    assert len({rank["MASTER_PORT"] for rank in ranks}) == 1


def test_pjm_queues_an_array_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(tmp_path, "pjm", monkeypatch)
    first = cluster.submit(dry_run=True, change=["cluster.embed.shards=2"])
    assert {q.stage for q in first.queued} == {"prepare"}
    assert first.left_for_later == ["embed", "train", "eval"]
    assert "--resume" in as_text(first, dry_run=True)
    second = queue_from(cluster, 1, change=["cluster.embed.shards=2"])
    assert [q.command[:2] for q in second.queued] == [("pjsub", "--bulk")]


def test_a_dry_run_writes_and_queues_nothing(cluster: Cluster) -> None:
    submission = cluster.submit(dry_run=True)
    assert not cluster.fake.jobs()
    assert not (cluster.folder / "work").exists()
    text = as_text(submission, dry_run=True)
    for name, script in submission.scripts.items():
        assert f"# ---- {name}\n{script}" in text
    assert [q.stage for q in submission.queued if q.command][-1] == "eval"


def test_a_dry_run_prints_the_commands_that_are_then_run(cluster: Cluster) -> None:
    rehearsed, done = cluster.submit(dry_run=True).queued, cluster.submit().queued
    names = {a.job_id: b.job_id for a, b in zip(rehearsed, done, strict=True)}
    if cluster.scheduler == "pjm":
        names = {"jid=ID": "jid=1"}
    for one, other in zip(rehearsed, done, strict=True):
        line = shlex.join(one.command)
        for name in sorted(names, key=len, reverse=True):
            line = re.sub(rf"{name}\b", names[name], line)
        assert line == shlex.join(other.command)


def test_queued_scripts_keep_their_settings(cluster: Cluster) -> None:
    submission = cluster.submit()
    (settings,) = submission.folder.glob("settings-*.yaml")
    assert "cluster" not in yaml.safe_load(settings.read_text())
    before = settings.read_text()
    cluster.settings["data"]["limit"] = 5
    cluster.submit()
    assert settings.read_text() == before  # what is queued meanwhile is not changed
    assert len(list(submission.folder.glob("settings-*.yaml"))) == 2
    lines = (submission.folder / "queued.jsonl").read_text().splitlines()
    assert [json.loads(line)["job_id"] for line in lines][: len(submission.queued)] == [
        q.job_id for q in submission.queued
    ]


def test_a_refused_job_lists_the_queued_ones_and_how_to_cancel_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path, "slurm", monkeypatch)
    shutil.rmtree(tmp_path / "scheduler")
    cluster.fake = FakeScheduler(tmp_path / "scheduler", "slurm", refuse_after=2)
    with pytest.raises(QueueError) as caught:
        cluster.submit()
    message = str(caught.value)
    assert (
        "`sbatch --parsable --dependency=afterok:2 3-train.sh` failed with exit code 1" in message
    )
    assert "the account has no time left" in message
    assert "scancel 1 2" in message
    assert "--resume" in message


def test_without_the_schedulers_command_nothing_is_queued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path, "pjm", monkeypatch)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(QueueError, match=r"pjsub was not found.*login node.*Nothing was queued"):
        cluster.submit()


def test_output_without_a_job_id_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path, "pbs", monkeypatch)
    (cluster.fake.folder / "bin" / "qsub").write_text("#!/bin/sh\necho welcome\n")
    with pytest.raises(QueueError, match="printed 'welcome', which holds no job id"):
        cluster.submit()


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{scheduler: slrum}", r"cluster.scheduler is 'slrum'"),
        ("{queu: gpu}", r"cluster.queu is not a setting. Did you mean cluster.queue\?"),
        ("{embed: {shard: 3}}", r"cluster.embed.shard is not a setting. Did you mean .*shards"),
        (
            "{embed: {shards: 0}}",
            "cluster.embed.shards is 0: input should be greater than or equal to 1",
        ),
        ("{train: {nodes: 0}}", "nodes is 0: input should be greater than or equal to 1"),
        ("{eval: {hours: 0}}", "hours is 0: input should be greater than 0"),
        ("{train: {cpus: 0}}", "cpus is 0: input should be greater than or equal to 1"),
        ("{prepare: {gpus: 1}}", "cluster.prepare.gpus is not a setting"),
        ('{account: "a b"}', "account must be a word of letters"),
        ('{queue: "gpu\\n#SBATCH --uid=0"}', "queue must be a word of letters"),
        ('{options: ["mail"]}', "options must be single lines that start with -"),
        ('{options: ["--x\\nrm -rf"]}', "options must be single lines"),
        ('{setup: ["a\\nb"]}', "setup must be single lines"),
        ("{margin_minutes: 0}", "margin_minutes is 0: input should be greater than or equal to 2"),
        ("{retries: -1}", "retries is -1: input should be greater than or equal to 0"),
        ("[slurm]", "settings"),
    ],
)
def test_invalid_settings_are_refused_in_either_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: str, message: str
) -> None:
    pipeline = "name: x\ndata: {sources: [{kind: table, table: t.csv}]}\ntext: {model: m}\n"
    path = tmp_path / "pipeline.yaml"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path.write_text(f"{pipeline}cluster: {block}\n")
    with pytest.raises(ConfigError, match=message):
        load_config(path)
    with pytest.raises(ConfigError, match=message):
        load_cluster(path)
    path.write_text(pipeline)
    own = tmp_path / "ecgpipe" / "cluster.yaml"
    own.parent.mkdir()
    own.write_text(block)
    load_config(path)  # nobody but submit minds it
    with pytest.raises(ConfigError, match=message.replace("cluster.", "")):
        load_cluster(path)


def test_pipeline_yaml_overrides_the_users_file_key_by_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    own = tmp_path / "config" / "ecgpipe" / "cluster.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(
        "scheduler: pbs\nqueue: rt_HG\ncontainer: images/e.sif\nembed: {shards: 4, hours: 2}\n"
    )
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        "name: x\ndata: {sources: [{kind: table, table: t.csv}]}\ntext: {model: m}\n"
        "cluster: {queue: rt_HF, binds: [ecg], embed: {hours: 3}}\n"
    )
    cluster = load_cluster(path, ["cluster.account=me"])
    assert (cluster.scheduler, cluster.queue, cluster.account) == ("pbs", "rt_HF", "me")
    assert (cluster.embed.shards, cluster.embed.hours) == (4, 3)
    assert cluster.container == own.parent / "images" / "e.sif"
    assert cluster.binds == (tmp_path / "ecg",)


def test_missing_settings_are_reported_before_anything_is_queued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path, "grid_engine", monkeypatch)
    with pytest.raises(ConfigError, match="global_batch_size 32 does not divide by 3"):
        cluster.submit(change=["cluster.train.nodes=3"])
    cluster.settings["cluster"]["train"] = {}
    with pytest.raises(ConfigError, match=r"cluster.train.resources is missing.*TSUBAME4"):
        cluster.submit()
    del cluster.settings["cluster"]["scheduler"]
    with pytest.raises(ConfigError, match=r"cluster.scheduler is not set.*cluster\.yaml"):
        cluster.submit()
    assert not cluster.fake.jobs()


def test_the_shipped_file_shows_every_cluster_setting() -> None:
    text = Path("pipeline.yaml").read_text(encoding="utf-8")
    block = text[text.index("# cluster:") :]
    shown = yaml.safe_load("\n".join(line.removeprefix("# ") for line in block.splitlines()))
    assert set(shown["cluster"]) == {item.name for item in dataclasses.fields(ClusterConfig)}
    plain = {item.name for item in dataclasses.fields(StageJob)}
    assert plain <= set(shown["cluster"]["train"])


def test_placeholder_ids_are_unique() -> None:
    jobs, site = example("pbs")
    ids = [q.job_id for q in rehearse(jobs, site, DIALECTS["pbs"])]
    assert len(set(ids)) == len(ids) == 4 * 4


def test_the_runs_of_a_sweep_share_prepare_and_embed(cluster: Cluster) -> None:
    submission = cluster.submit(seeds="0..2")
    shared_only = cluster.scheduler == "pjm"  # its jobs cannot fork off one embed job
    assert submission.left_for_later == (["train", "eval"] if shared_only else [])
    ends = cluster.fake.run()
    if shared_only:
        queue_from(cluster, 2, seeds="0..2")
        ends = cluster.fake.run()
    assert all(end.codes == [0] for end in ends), [end.log for end in ends]
    configs: dict[str, list[str]] = {stage: [] for stage in STAGES}
    for call in cluster.calls():
        configs[call["stage"]].append(load_config(Path(call["options"]["--config"])).name)
    first_only = slice(None, None, 1 if cluster.scheduler in ("slurm", "grid_engine") else 3)
    runs = [f"試験 $1+seed={seed}" for seed in range(3)]
    assert [configs[stage][first_only] for stage in STAGES] == [
        ["試験 $1"], ["試験 $1"], runs, runs,
    ]  # fmt: skip
    assert (submission.folder / "2-embed.sh").exists()
    script = (submission.folder / "3-train-seed=1.sh").read_text(encoding="utf-8")
    assert "# The stage train of 試験 $1+seed=1, written by ecgpipe" in script


def test_each_run_of_a_sweep_depends_only_on_its_own_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path, "slurm", monkeypatch)
    submission = cluster.submit(seeds="0..1")
    assert [(q.run[-1], q.stage) for q in submission.queued[2:]] == [
        ("0", "train"), ("0", "eval"), ("1", "train"), ("1", "eval"),
    ]  # fmt: skip
    conditions = [[w for w in q.command if w.startswith("--dep")] for q in submission.queued]
    assert conditions == [
        [], ["--dependency=afterok:1"], ["--dependency=afterok:2"], ["--dependency=afterok:3"],
        ["--dependency=afterok:2"], ["--dependency=afterok:5"],
    ]  # fmt: skip


def test_a_sweep_that_needs_several_embeddings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path, "slurm", monkeypatch)
    assert len(cluster.submit(grids=["train.lr=0.1,0.2"], dry_run=True).queued) == 6
    with pytest.raises(ConfigError, match="needs data or texts of its own"):
        cluster.submit(grids=["data.rate_hz=100,250"])
    assert not cluster.fake.jobs()


def test_a_script_runs_real_prepare_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(tmp_path, "slurm", monkeypatch)
    for number in range(4):
        write_wfdb(cluster.folder / "ecg", f"r{number}", ecg_like(seed=number))
    rows = [f"id{n},p{n},ecg/r{n},心房細動" for n in range(4)]
    (cluster.folder / "records.csv").write_text(
        "\n".join(["record_id,patient_id,path,findings", *rows]), encoding="utf-8"
    )
    (tmp_path / "bin" / "ecgpipe").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m ecgpipe "$@"\n'
    )
    cluster.settings["cluster"]["prepare"] = {"cpus": 1}
    cluster.settings["data"] |= {"taxonomy": "findings98"}
    cluster.submit(change=["cluster.prepare.shards=2"], until="prepare")
    ends = cluster.fake.run()
    assert [end.codes for end in ends] == [[0], [0]], [end.log for end in ends]
    assert "share 1/2" in ends[1].log or "4 records of 4 patients prepared" in ends[1].log
    assert "4 records of 4 patients prepared" in ends[0].log + ends[1].log
    assert cluster.submit(only_missing=True, until="prepare").queued == []
