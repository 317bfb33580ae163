"""`ecgpipe eval` and `compare`: model and records -> results and report.

evaluate  model and records -> results and report
analyses  the analyses of eval.analyses, and what they are given
files     results -> report.html, report.md, tables and charts
pictures  the example ECGs of an evaluation, drawn
compare   which runs are compared, and which are seeds of one
"""
