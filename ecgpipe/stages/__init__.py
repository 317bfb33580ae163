"""The joints: each stage introduces the rooms to one another and says whether anything is to do.

Owns the order of the stages and what makes an output stale. The rooms never import each other; here
findings become sentences, sentences keys, keys vectors, and a trained model something that encodes.

experiment     what all stages of one experiment share
texts          records and tasks -> the sentences the language model reads
check_stage    everything that can be looked at before a run -> one report
check_rows, check_recordings, check_tasks, check_needs  its parts
check_report   problems -> text, worst first
prepare_stage  recordings -> signals and records
fetch_stage    a language model -> a folder
embed_stage    sentences -> vectors
verify_stage   whether signals, records and vectors are as they were written
vectors_stage  upkeep of the vectors: verify, gc, compact, export, import
train_stage    signals and vectors -> a model
eval_stage     model and records -> results and report
eval_analyses  what is made beside the tasks, one function a block
submit_stage   the stages -> jobs in a cluster's queue
show_stage     ECGs -> pictures
show_records   the ECG that a name on the command line means
show_suspects  what check finds suspicious -> pages of small pictures
outcome        what a stage says when it is done
"""
