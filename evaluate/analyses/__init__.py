"""What is looked at beside the tasks.

Owns one question a module: `compute` makes its block of the results file, `tables` and `charts` say
what the report shows of it. Must not know how a page is laid out, nor torch or a stage.

analysis      what an analysis is, and what it may look at
registry      which analyses there are
retrieval     ECG to report and back
probe         a linear classifier on frozen features
neighbours    the vote of the nearest training ECGs
robustness    an ECG with leads missing, noise, swapped electrodes
conditions    these changes of a signal                           (pure)
subgroups     metrics by sex, age and site
failures      which finding is taken for which
unread/       texts that training never read: other words, findings never named
text_space    which class prompts the language model finds alike
echo          what echocardiography shows, by the model, the ECG's label and voltages
measurements  whether the model sees the quantity a finding is
delineation   rate, intervals, axis and voltages of one ECG
joint_map     ECGs and texts in two dimensions
examples      ECGs worth looking at
"""
