"""Results -> tables, charts, HTML, Markdown, CSV, terminal.

Owns how a report is laid out. Must not compute a metric.

tables     results -> every table, as data
charts     results -> every chart, as data
verdict    whether a metric beats its baselines               (pure)
page       results -> what the page shows, section by section
html       the page -> report.html
markdown   results -> report.md
csv_files  tables -> CSV
terminal   results -> tables on a terminal
"""
