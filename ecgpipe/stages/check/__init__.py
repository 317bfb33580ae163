"""`ecgpipe check`: everything that can be looked at before a run -> one report.

check       everything that can be looked at before a run -> one report
rows        what the tables say
recordings  what the recordings hold, all or a sample
tasks       whether every task can be scored
needs       model, disk, memory and time the run needs
report      problems -> text, worst first
"""
