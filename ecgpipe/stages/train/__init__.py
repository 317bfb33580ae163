"""`ecgpipe train`: signals and vectors -> a model, in a run folder.

train       signals and vectors -> a model
run_folder  a run's folder: set aside, taken back, never overwritten
"""
