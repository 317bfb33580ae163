"""embed: every distinct sentence gets a vector, unless it has one."""

from ecgpipe.embed_text.embedding import embed
from ecgpipe.stages.experiment import Experiment
from ecgpipe.stages.outcome import Outcome
from ecgpipe.stages.texts import all_sentences
from ecgpipe.stopping import Stop


def run_embed(experiment: Experiment, stop: Stop) -> Outcome:
    """Embed what is missing. Raises as `ecgpipe.embed_text.embedding.embed`."""
    text = experiment.config.text
    sentences = all_sentences(experiment.records, experiment.taxonomy, experiment.tasks, text)
    done = embed(
        sentences,
        experiment.model_files,
        text,
        experiment.workspace.embeddings,
        experiment.fingerprint,
        stop,
    )
    folder = experiment.workspace.embeddings / experiment.fingerprint.short
    line = (
        f"{done.embedded:,} texts embedded, {done.already_there:,} were there"
        if done.embedded
        else f"nothing to do: all {done.distinct:,} distinct texts have a vector"
    )
    if done.cut:
        line += f"; {done.cut:,} were cut at text.max_tokens {text.max_tokens}"
    return Outcome(
        "embed",
        done.embedded > 0,
        line,
        {
            "distinct": done.distinct,
            "embedded": done.embedded,
            "cut": done.cut,
            "folder": str(folder),
        },
    )
