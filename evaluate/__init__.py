"""What is scored, how, and with which intervals: tasks as data, metrics, baselines, reports.

Owns findings, tasks, scores, intervals and the results file. Must not know how a model is trained,
nor torch or a language model: it is given something that encodes ECGs and texts.

tasks/       what is scored: lists of findings and tasks, as files
statements/  what a report in free text asserts, denies and leaves uncertain
metrics/     scores and truth -> metrics, intervals, thresholds, calibration, baselines
analyses/    what is looked at beside the tasks, one module each
report/      results -> tables, charts, HTML, Markdown, CSV, terminal
compare/     evaluated runs side by side, and beside published metrics
taxonomies/  *.csv, lists of findings: id, names, synonyms, codes, coarse classes
wordings/    *.csv, banks: other ways to say each finding of a taxonomy
echo_definitions/  *.yaml: what an echocardiogram shows, as rules on its measurements
findings_page  a list of findings -> a Markdown page of its names  (pure)
evaluation   model and records -> the metrics of every task
results      the results file, ecgpipe-results/3
score_file   the scores behind the metrics, ecgpipe-scores/1
scored_task  one task as the model scored it
scoring      the metrics of one task from scores and truth       (pure)
table        a table of the report, and how a metric is written
words        the fixed words of the report in Japanese and English
"""
