"""ecgpipe: teach an ECG encoder the report language of a hospital.

A frozen medical language model reads every distinct report and label prompt once and its vectors
are stored; then only a ResNet1d-18 and two linear projections are trained against them (arXiv
2504.09302).

This folder holds what connects the rooms (command line, settings, the order of the stages) and what
all of them use (errors, files, progress). The rooms `read_ecg`, `cache`, `embed_text`, `train_ecg`
and `evaluate` are links to the folders of that name at the repository's root.
"""

__version__ = "0.1.0"
