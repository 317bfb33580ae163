"""`ecgpipe eval` and `compare`: model and records -> results and report.

evaluate         model and records -> results and report
files            results -> report.html, report.md, tables and figures
pictures         the example ECGs of an evaluation, drawn
analyses         which analyses are made
context          what every such block may look at
analysis_blocks  retrieval, probe, neighbours, robustness, subgroups
failure_blocks   what is taken for what, the texts' own space, measurements
view_blocks      the map of the joint space, example ECGs
compare          which runs are compared, and which are seeds of one
"""
