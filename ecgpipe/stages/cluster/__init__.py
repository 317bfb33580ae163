"""`ecgpipe submit`, `status` and `stage-in`: the stages on a cluster.

submit         the stages -> jobs in a cluster's queue
status         how far an experiment is, from its files
status_report  that as text and as values
stage_in       signals and model -> a node's own disk
"""
