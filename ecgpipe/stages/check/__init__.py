"""`ecgpipe check`: everything that can be checked before a run -> one report.

check       the order of the checks
rows        mistakes in the tables
recordings  what the recordings hold, all or a sample
echo        the table of echocardiograms, and how many ECGs it says something about
tasks       whether every task can be scored
begin       the model that training is to begin with
needs       model, disk, memory and time that the run needs
report      problems -> text, worst first
"""
