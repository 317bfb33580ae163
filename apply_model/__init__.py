"""From a trained model to an answer: about one ECG, an archive, or a sentence of one's own.

Owns what a trained model needs away from its run: the preprocessing it demands, its prompts,
thresholds and calibration. Stands above the other rooms, and needs no pipeline.yaml. Must not know
how a model is trained or evaluated.

contract          the preprocessing that a model demands                 (pure)
applied_task      classes, thresholds, scores -> probabilities           (pure)
model_content     a model without its weights: what a folder or run says (pure)
export/           the folder in which a model travels
ecg               a file or an array -> the window that the contract demands
applied_model     encode ECGs, encode texts, score; loading a folder
explain/          why a score is what it is: leads, tenths of a second
text_model        the language model, for texts without a kept vector
recordings        files, folders, patterns, rows of a table -> a stream of inputs
reading           inputs -> windows, in worker processes if there are many
prediction        the shape of an answer, and remarks on a recording     (pure)
reach             how far a question may lie from what was trained on    (pure)
questions         findings of one's own wording
prevalence        probabilities for another hospital's frequencies       (pure)
prediction_files  CSV, Parquet, JSON Lines; what a kill leaves is continued
archive           an archive of ECG vectors, and the closest in it
server/           one local page that asks a model about a dropped recording
"""
