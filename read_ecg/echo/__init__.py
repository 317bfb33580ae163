"""A table of echocardiograms -> what the one nearest to each ECG shows.

Owns how echocardiograms are written and joined with ECGs. Must not know what makes a finding: it is
given something that judges measurements.

moment         dates and times as people write them, and how far apart two are  (pure)
cells          measurements, grades and yes or no as people write them          (pure)
echo_table     the rows of a table -> echocardiograms, and what is wrong with them
nearest        which echocardiogram belongs to an ECG                           (pure)
echo_findings  the findings of each ECG's echocardiogram, and what is counted
"""
