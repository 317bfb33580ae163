"""Scores and truth -> metrics, intervals, thresholds, calibration, baselines.

Owns the arithmetic, all of it pure. Must not know tasks, files or reports.

metrics      hit@k, Wilson interval, AUROC, AUPRC, F1            (pure)
curves       ROC and precision-recall                            (pure)
confusion    which class is taken for which                      (pure)
thresholds   from which score on a class is present              (pure)
bootstrap    intervals by resampling patients                    (pure)
calibration  scores into chances, and how wrong these are        (pure)
baselines    scores of models that know less                     (pure)
"""
