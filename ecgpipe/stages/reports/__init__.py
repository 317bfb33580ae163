"""Reports of a run's ECGs: what they are taken from, written by, and compared with.

writers     the connector between a run's encoder and its language model, trained once
rungs       ways to write reports that need what a run keeps
ladder      eval-reports: all rungs on the scored ECGs, with their controls
"""
