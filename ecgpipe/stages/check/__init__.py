"""`ecgpipe check`: everything that can be checked before a run -> one report.

check       the order of the checks
table_rows  the rows of all tables, and why a row cannot be used
rows        mistakes in the tables
columns     what the user's tables call a column
people      sexes, ages and days that cannot be, or are not known
findings    findings that are unknown or in doubt
recordings  what the recordings hold, all or a sample
echo        the table of echocardiograms, and how many ECGs it says something about
tasks       whether every task can be scored
begin       the model that training is to begin with
needs       model, disk and memory that the run needs
model_facts how large the language model is, by its files
times       how long the run takes, on a GPU and on this machine
writing     what training a language model to write reports would take
report      problems -> text, worst first
"""
