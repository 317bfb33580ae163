"""What is scored, how, and how certainly: tasks as data, metrics, baselines, tables.

Owns findings, tasks, scores, intervals and the results file. Must not know how a model is trained,
nor torch or a language model: it is handed something that encodes ECGs and texts.

taxonomies/*.csv  lists of findings: id, names, synonyms, codes, coarse classes
tasks/*.yaml      what competes: classes and their wording
named_file        a list or task that ships, or a file of one's own
taxonomy          reading a list, and finding what a name means
task_file         what a task file may say
tasks             what it means for a taxonomy, and its truth for given records
ensemble          several wordings of a class to one score            (pure)
metrics           hit@k, Wilson interval, AUROC, AUPRC, F1            (pure)
thresholds        from which score on a class is present              (pure)
bootstrap         intervals by resampling patients                    (pure)
calibration       scores into chances, and how wrong these are        (pure)
confusion         which class is taken for which                      (pure)
curves            ROC and precision-recall                            (pure)
baselines         scores of models that know less                     (pure)
scored_task       one task as the model scored it
scoring           the figures of one task from scores and truth       (pure)
evaluation        the stage: model and records -> results
retrieval         ECG to report and back                              (pure)
probe             the linear probe, its shares and its penalty        (pure)
neighbours        the vote of the nearest training ECGs               (pure)
robustness        what ECGs suffer: conditions on signals             (pure)
subgroups         figures by sex, age and site                        (pure)
failures          which finding is taken for which                    (pure)
text_space        what the language model itself finds alike          (pure)
delineation       rate, intervals, axis and voltages of one ECG
measurements      whether the model sees the quantity a finding is    (pure)
comparison        runs side by side: paired differences, p-values     (pure)
published         what others published, on other ECGs
score_file        the scores behind the figures, ecgpipe-scores/1
results           the results file, ecgpipe-results/2; reads /1 too
verdict           whether a figure beats its baselines                (pure)
examples          which ECGs are worth looking at                     (pure)
embedding_map     ECGs and texts in two dimensions                    (pure)
report_words      every word of the report in Japanese and English
report_table      what a table of the report is
report_tables     results -> every table, as data
failure_tables    those of what fails
figures           results -> every chart, as data
report_html       results -> report.html
svg_plot          a chart inside it
report            results -> report.md
comparison_report a comparison -> Markdown and the terminal
csv_tables        tables -> CSV
tables            results -> the tables on a terminal
"""
