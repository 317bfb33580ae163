"""What is scored: lists of findings and tasks, as files.

Owns how a task is written and its truth for given records. Must not know scores.

finding_names  how a finding's name is written, and which are apart  (pure)
taxonomy       a list of findings, and which one a name means
wordings       the bank: other ways to say each finding, a third of them held out
task           a task for a taxonomy, and its truth for given records
answers        that truth: shown, not shown or unknown                (pure)
task_file      what a task file may say
echo_definitions  what an echocardiogram shows: rules on its measurements
named_file     a list or task that ships, or your own file
ensemble       several wordings of a class to one score              (pure)
"""
