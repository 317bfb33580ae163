"""The group of all commands: how errors are shown, and the exit codes a batch system sees.

Exit codes: 0 done; 1 something to fix; 2 bad usage or settings; 75 stopped early with everything
saved. The command modules import next to nothing at their top, so that `--help` answers at once.
"""

import contextlib
import faulthandler
import io
import os
import sys
from typing import Any

import click

from ecgpipe import __version__
from ecgpipe.commands import apply, cluster, data, export, look, run, text
from ecgpipe.commands.help import Group
from ecgpipe.commands.output import say
from ecgpipe.errors import EcgpipeError


class _Commands(Group):
    """Shows an EcgpipeError as one paragraph with its exit code; anything else is our bug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EcgpipeError as error:
            say(f"ecgpipe: {error}")
            ctx.exit(error.exit_code)
        except OSError as error:  # an unforeseen disk or permission error is not a bug of ours
            say(f"ecgpipe: {error}.")
            ctx.exit(EcgpipeError.exit_code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ecgpipe")
def main() -> None:
    """Train an ECG encoder on a hospital's reports.

    A frozen language model embeds every distinct report and label once (embed). After that only an
    ECG encoder is trained, against the stored vectors (train). For research; not a medical device.
    """
    _make_streams_safe()
    _enable_crash_traces()


for command in (
    run.init,
    data.check,
    data.findings,
    run.run,
    run.prepare,
    run.embed,
    run.train,
    run.eval_command,
    look.compare,
    look.figures,
    export.export,
    look.show,
    apply.predict,
    apply.report,
    run.eval_reports,
    apply.search,
    apply.serve,
    cluster.submit,
    cluster.status,
    cluster.stage_in,
    data.verify,
    data.gc,
    text.vectors,
    text.fetch_model,
):
    main.add_command(command)


def _make_streams_safe() -> None:
    """Keep a print from ending hours of work: no Japanese in the terminal, or no terminal left."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _enable_crash_traces() -> None:
    """Print a trace on SIGBUS, which a memory-mapped shard raises when somebody truncates it."""
    if not faulthandler.is_enabled():
        with contextlib.suppress(AttributeError, ValueError, io.UnsupportedOperation):
            faulthandler.enable()
