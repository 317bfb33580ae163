"""The joints: each stage introduces the rooms to one another and says whether anything is to do.

Owns the order of the stages and what makes an output stale. The rooms never import each other; here
findings become sentences, sentences keys, keys vectors, and a trained model something that encodes.

experiment     what all stages of one experiment share
shelves        signals in memory that the runs of a sweep share
nearest        the copy to read from: a node's own disk, or work_dir
signed         a stage that leaves signs of life
texts          records and tasks -> the sentences the language model reads
check_stage    everything that can be looked at before a run -> one report
check_rows, check_recordings, check_tasks, check_needs  its parts
check_report   problems -> text, worst first
prepare_stage  recordings -> signals and records
fetch_stage    a language model -> a folder
embed_stage    sentences -> vectors
verify_stage   whether signals, records and vectors are as they were written
vectors_stage  upkeep of the vectors: verify, gc, compact, export, import
run_folder     a run's folder: set aside, taken back, never overwritten
train_stage    signals and vectors -> a model
at_once        several runs of a sweep, trained at the same time
model_joint    where torch meets the other rooms
eval_stage     model and records -> results and report
eval_files     results -> report.html, report.md, tables and figures
eval_pictures  the example ECGs of an evaluation, drawn
eval_analyses  what is made beside the tasks, one function a block
analysis_context  what every such block may look at
analysis_blocks, failure_blocks, view_blocks  the blocks
compare_stage  which runs are compared, and which are seeds of one
submit_stage   the stages -> jobs in a cluster's queue
scratch_stage  signals and model -> a node's own disk
status_stage   how far an experiment is, from its files
status_report  that as text and as values
show_stage     ECGs -> pictures
show_records   the ECG that a name on the command line means
show_suspects  what check finds suspicious -> pages of small pictures
outcome        what a stage says when it is done; how a sweep ends
"""
