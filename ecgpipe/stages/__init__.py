"""The stages: each connects the packages and decides whether there is anything to do.

Owns the order of the stages and what makes an output stale. The packages never import each other;
here findings become sentences, sentences become keys and keys become vectors.

check/        `ecgpipe check`: everything that can be checked before a run -> one report
train/        `ecgpipe train`: signals and vectors -> a model, in a run folder
evaluate/     `ecgpipe eval`, `compare` and `figures`: model and records -> results and report
apply/        `ecgpipe export`: a run's model -> answers
reports/      drafts of reports: what they are taken from and written by, and their scores
clean_up/     `ecgpipe gc`: what no pipeline.yaml needs any more -> a list, removed on request
show/         `ecgpipe show`: ECGs -> pictures
cluster/      `ecgpipe submit`, `status` and `stage-in`: the stages on a cluster
embed         sentences -> vectors
experiment    what all stages of one experiment share
fetch_model   a language model -> a folder
local_inputs  where to read signals and model from: a local copy, or the original
init_from     another model's weights to begin with, and whom it has seen
model_bridge  connects torch with the other packages
prepare       recordings -> signals and records
references    the reports of an experiment's own ECGs
stage_result  what a stage returns; how a sweep ends
texts         records and tasks -> the sentences the language model reads
trained_texts which texts of training may be kept, as vectors
vectors       maintain vectors: verify, compact, export, import
verify        whether signals, records and vectors are undamaged
"""
