"""What a reader looks at: the map of ECGs and texts, and ECGs that are worth looking at.

Owns which task and which ECGs are shown. How they are chosen and placed stands in `evaluate`.
"""

from typing import Any

from ecgpipe.evaluate.analyses.examples import examples
from ecgpipe.evaluate.analyses.joint_map import embedding_map, mapped_records
from ecgpipe.stages.evaluate.context import AnalysisContext, LeftOutError

_EXAMPLES_OF_EACH_KIND = (2, 1)  # of the first task and the next: as many as a reader looks at


def joint_map(context: AnalysisContext) -> dict[str, Any]:
    """The map of the task with the fewest classes: the names of a hundred could not be read."""
    able = [s for s in context.scored_tasks if len(s.task.classes) > 2 and s.chosen_N.sum() > 2]
    if not able:
        raise LeftOutError("no task has more than two classes and two ECGs")
    scored, config = min(able, key=lambda s: len(s.task.classes)), context.experiment.config
    chosen = mapped_records(scored, config.eval.seed)
    ecgs = context.model.encode_ecg(context.splits.scored.slots[chosen])
    wordings = [texts[0] for texts in scored.task.wordings(config.text.language)]
    texts = context.model.encode_text(wordings, scored.task.language)
    return embedding_map(ecgs, texts, scored, chosen.tolist())


def example_ecgs(context: AnalysisContext) -> dict[str, Any]:
    """The best, the worst and the most confidently wrong, for the first two tasks."""
    record_ids = [record.record_id for record in context.splits.scored.records]
    pairs = zip(context.scored_tasks, _EXAMPLES_OF_EACH_KIND, strict=False)
    return {scored.task.name: examples(scored, record_ids, n) for scored, n in pairs}
