"""fetch-model and vectors: the language model's files and the stored text vectors."""

from pathlib import Path

import click

from ecgpipe.commands.help import Group
from ecgpipe.commands.options import Launch, launch_options
from ecgpipe.commands.output import finish


@click.command("fetch-model")
@click.argument("name")
@click.option("--revision", required=True, help="The commit to fetch: 40 hex digits.")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="A new folder. Set text.model to it on machines without internet access.",
)
def fetch_model(name: str, revision: str, folder: Path) -> None:
    """Download a language model with the SHA-256 of every file.

    Only safetensors and tokenizer files are fetched. `ecgpipe embed` checks the folder against its
    manifest before it loads the model.
    """
    from ecgpipe.stages.fetch_model import run_fetch

    finish(run_fetch(name, revision, folder), as_json=False)


@click.group(cls=Group)
def vectors() -> None:
    """Maintain the stored text vectors."""


@vectors.command()
@launch_options()
def compact(launch: Launch) -> None:
    """Merge small part files into a few large ones, each text once."""
    from ecgpipe.stages.vectors import compact_vectors

    finish(compact_vectors(launch.experiment()), launch.as_json)


@vectors.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--with-texts", is_flag=True, help="Include the texts; the file is then patient data."
)
@click.option("--bits", is_flag=True, help="bfloat16 bit patterns (uint16) instead of float32.")
@launch_options()
def export(launch: Launch, file: Path, with_texts: bool, bits: bool) -> None:
    """Write the vectors to one plain HDF5 FILE for h5py, MATLAB or R."""
    from ecgpipe.stages.vectors import export_vectors

    finish(export_vectors(launch.experiment(), file, with_texts, bits), launch.as_json)


@vectors.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@launch_options()
def import_command(launch: Launch, file: Path) -> None:
    """Add vectors from an export, or from an HDF5 FILE with `vectors` and `text` or `key`."""
    from ecgpipe.stages.vectors import import_vectors

    finish(import_vectors(launch.experiment(), file), launch.as_json)
