"""The command line: parse, call one function, print.

main     the group of all commands, and the exit codes
run      init, run, prepare, embed, train, eval
data     check, findings, verify, gc
text     fetch-model and vectors
cluster  submit, status, stage-in
look     compare, figures, show
export   a run's model as a folder that travels
apply    predict, search, serve
answers  how an ECG's answer looks on a terminal
sweep    stages for every variant of a sweep
help     help and usage errors in the reader's language
output   what a stage or a comparison prints
options  the options that commands share
"""
