"""`ecgpipe eval`, `compare` and `figures`: model and records -> results and report.

evaluate  model and records -> results and report
analyses  the analyses of eval.analyses, and what they are given
files     results -> report.html, report.md, tables and charts
figures   the charts of an evaluation at the size of a journal's column
pictures  the example ECGs of an evaluation, drawn
compare   which runs are compared, and which are seeds of one
"""
