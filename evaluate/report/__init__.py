"""Results -> tables, charts, HTML, Markdown, CSV, terminal.

Owns every word and layout a reader sees. Must not compute a metric.

words           every word of the report in Japanese and English
table           what a table of the report is
tables          results -> every table, as data
failure_tables  those of what fails
charts          results -> every chart, as data
svg_chart       a chart inside it
verdict         whether a metric beats its baselines                (pure)
html            results -> report.html
markdown        results -> report.md
csv_files       tables -> CSV
terminal        results -> the tables on a terminal
"""
