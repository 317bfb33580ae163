"""A stub for `ecgpipe` in a job: logs how it was called, and fails or waits on request.

A stage that waits prints `ready` and exits with 75 when it is signalled. Like a real stage, it
checks its input: every share of the previous stage must be done. `ecgpipe.processes` decides which
share is its own.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from ecgpipe.processes import share_of_work

SHOWN = (
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "OMP_NUM_THREADS", "TRITON_CACHE_DIR",
)  # fmt: skip
STAGES = ("prepare", "embed", "train", "eval")


def main() -> int:
    folder, stage, arguments = Path(os.environ["STUB_FOLDER"]), sys.argv[1], sys.argv[2:]
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGXCPU):
        signal.signal(number, lambda number, frame: asked.append(number))
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    share = share_of_work(options.get("--shard"))
    call = {
        "stage": stage,
        "options": options,
        "share": [share.index, share.count],
        "cwd": os.getcwd(),
        "environment": {name: os.environ[name] for name in SHOWN if name in os.environ},
    }
    with (folder / "calls.jsonl").open("a") as file:
        file.write(json.dumps(call) + "\n")
    before = STAGES.index(stage) - 1
    if before >= 0 and not _is_whole(folder, STAGES[before]):
        print(f"ecgpipe: {STAGES[before]} has not been done")
        return 1
    if (folder / f"fail-{stage}").exists():
        print("ecgpipe: something to fix")
        return 1
    waiting = folder / f"wait-{stage}-{share.index}"
    if waiting.exists():
        left = int(waiting.read_text()) - 1
        waiting.write_text(str(left)) if left else waiting.unlink()
        print("ready", flush=True)
        deadline = time.monotonic() + 20
        while not asked and time.monotonic() < deadline:
            time.sleep(0.01)
        return 75 if asked else 3
    (folder / f"done-{stage}-{share.index}-of-{share.count}").touch()
    return 0


def _is_whole(folder: Path, stage: str) -> bool:
    found = [path.name.split("-") for path in folder.glob(f"done-{stage}-*")]
    return any(
        len({name[2] for name in found if name[4] == count}) == int(count)
        for count in {name[4] for name in found}
    )


if __name__ == "__main__":
    sys.exit(main())
