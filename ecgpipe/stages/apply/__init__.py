"""A run's trained model, put to use: the glue between an experiment and `apply_model`.

runs        which run a name or folder means
export      a run -> a folder that travels, checked before it is written
content     an evaluated run -> what its model needs to answer
models      an exported folder or a run -> the model
inputs      files, a table or the experiment's own records -> what is asked about
predict     read, encode, score, write; continue after a stop
explain     what a score hangs on -> sheets
report      a draft of a report for each ECG, of what predict answers
search      the ECGs that fit a sentence or resemble an ECG
serve       the page of this machine: sockets, signals
"""
