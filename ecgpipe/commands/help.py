"""Help and usage errors in the language of the person who reads them.

Owns how click's own words and ours come together in Japanese. In English everything is click's.
"""

import contextlib
import io
import re
import sys
from collections.abc import Iterable, Iterator
from typing import IO, Any

import click

from ecgpipe.errors import ConfigError
from ecgpipe.language.choice import chosen_language
from ecgpipe.language.layout import wrapped
from ecgpipe.language.translation import shown, shown_word, told

# What click puts behind an option's help, such as [default: 300; x>=1].
_FACTS = re.compile(r"(?s)(.*?)(?:  \[([^\[\]]*)\])?")


class Formatter(click.HelpFormatter):
    """Lays out help in Japanese, where a character may be two columns wide."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write how the command is called."""
        if chosen_language() == "en":
            super().write_usage(prog, args, prefix)
            return
        first = f"{shown_word('Usage:')} {prog} "
        self._write_lines(wrapped(args, self.width, first, " " * 8))

    def write_heading(self, heading: str) -> None:
        """Write `Options` and the like."""
        super().write_heading(shown_word(heading))

    def write_text(self, text: str) -> None:
        """Write paragraphs; what is indented is an example and stays."""
        if chosen_language() == "en":
            super().write_text(text)
            return
        indent = " " * self.current_indent
        for number, paragraph in enumerate(text.split("\n\n")):
            self.write("\n" if number else "")
            if paragraph.startswith(" "):  # an example
                self._write_lines([indent + paragraph])
            else:
                japanese = told(" ".join(paragraph.split()), "ja")
                self._write_lines(wrapped(japanese, self.width, indent, indent))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write options or commands, each with its help beside it."""
        if chosen_language() == "en":
            super().write_dl(rows, col_max, col_spacing)
            return
        rows = list(rows)
        column = min(max(len(first) for first, _ in rows), col_max) + col_spacing
        indent, then = " " * self.current_indent, " " * (self.current_indent + column)
        for first, second in rows:
            start = indent + f"{first:<{column}}"
            if len(first) > column - col_spacing:
                self._write_lines([indent + first])
                start = then
            self._write_lines(wrapped(_with_facts(second), self.width, start, then))

    def _write_lines(self, lines: Iterable[str]) -> None:
        self.write("".join(f"{line}\n" for line in lines))


def _with_facts(text: str) -> str:
    """The help of an option, and the facts that click puts behind it."""
    match = _FACTS.fullmatch(text)
    assert match is not None
    if match[2] is None:
        return told(text, "ja")
    facts = "; ".join(shown_word(shown(fact)) for fact in match[2].split("; "))
    return f"{told(match[1], 'ja')} [{facts}]"


class Context(click.Context):
    """Carries the formatter to a command's help."""

    formatter_class = Formatter


class Group(click.Group):
    """Commands that speak the language of the person who reads them."""

    context_class = Context

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command that uses our formatter."""
        cmd.context_class = Context
        super().add_command(cmd, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are used, not in the alphabet's."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands; in Japanese with the whole first paragraph."""
        if chosen_language() == "en":
            super().format_commands(ctx, formatter)
            return
        rows = [(name, (command.help or "").split("\n\n")[0])
                for name, command in self.commands.items()]  # fmt: skip
        with formatter.section("Commands"):
            formatter.write_dl([(name, " ".join(text.split())) for name, text in rows])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; an unknown language is an error before anything else."""
        try:
            chosen_language()
        except ConfigError as error:
            click.echo(f"ecgpipe: {error}", err=True)
            sys.exit(error.exit_code)
        return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the words of the command line."""
        with _told_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _told_errors():
            return super().invoke(ctx)


class _ToldError(click.UsageError):
    """A usage error that is shown in Japanese."""

    def __init__(self, error: click.UsageError) -> None:
        super().__init__(error.message)
        self._error = error

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it as click does, in Japanese."""
        written = io.StringIO()
        self._error.show(written)
        click.echo(told(written.getvalue(), "ja"), file, nl=False, err=True)


@contextlib.contextmanager
def _told_errors() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        if chosen_language() == "en" or isinstance(error, _ToldError):
            raise
        raise _ToldError(error) from None
