"""What is scored, how, and how certainly: tasks as data, metrics, baselines, tables.

Owns findings, tasks, scores, intervals and the results file. Must not know how a model is trained,
nor torch or a language model: it is handed something that encodes ECGs and texts.

tasks/       what is scored: lists of findings and tasks, as files
metrics/     scores and truth -> metrics, intervals, thresholds, calibration, baselines
analyses/    what is looked at beside the tasks
report/      results -> tables, charts, HTML, Markdown, CSV, terminal
compare/     evaluated runs side by side, and beside published metrics
taxonomies/  *.csv, lists of findings: id, names, synonyms, codes, coarse classes
evaluation   the stage: model and records -> results
results      the results file, ecgpipe-results/2; reads /1 too
score_file   the scores behind the metrics, ecgpipe-scores/1
scored_task  one task as the model scored it
scoring      the metrics of one task from scores and truth       (pure)
"""
