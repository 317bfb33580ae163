"""Scores and truth -> metrics, intervals, thresholds, calibration, baselines.

Owns the arithmetic, all of it pure. Must not know tasks, files or reports.

metrics      hit@k, Wilson interval, AUROC, AUPRC, F1            (pure)
curves       ROC and precision-recall                            (pure)
confusion    which class is taken for which                      (pure)
thresholds   the score from which a class is predicted           (pure)
bootstrap    intervals by resampling patients                    (pure)
calibration  scores -> probabilities, and how far they are off   (pure)
baselines    scores of models that know less                     (pure)
nearness     how near texts lie to those trained on              (pure)
"""
