"""What is looked at beside the tasks.

Owns one question a module. Must not know how a report is laid out.

retrieval     ECG to report and back                              (pure)
probe         the linear probe, its shares and its penalty        (pure)
neighbours    the vote of the nearest training ECGs               (pure)
robustness    what ECGs suffer: conditions on signals             (pure)
subgroups     metrics by sex, age and site                        (pure)
failures      which finding is taken for which                    (pure)
text_space    what the language model itself finds alike          (pure)
measurements  whether the model sees the quantity a finding is    (pure)
delineation   rate, intervals, axis and voltages of one ECG
joint_map     ECGs and texts in two dimensions                    (pure)
examples      which ECGs are worth looking at                     (pure)
"""
