"""From a recording in a file to twelve named leads in millivolts; from data sets to records.

Owns formats, leads, units, resampling, and what makes a recording unusable. Must not know texts,
vectors or models. A bad recording is a `RecordError` with its reason and does not stop the others.

signal/    what an ECG is here: twelve named leads in millivolts, at one rate, for one window
formats/   one file in any format -> one EcgRecord
quality/   what is measured of a recording, and what looks suspicious
echo/      a table of echocardiograms -> what the one nearest to each ECG shows
datasets/  data sets and hospital tables -> a stream of records, with findings and split
prepare/   records -> the signal store and the table of records, by several processes
"""
