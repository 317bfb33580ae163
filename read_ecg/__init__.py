"""From a recording in a file to twelve named leads in millivolts; from data sets to records.

Owns formats, leads, units, resampling, and what makes a recording unfit. Must not know texts,
vectors or models. A bad recording is a `RecordError` that names its reason; the others go on.

signal/    what an ECG is here: twelve named leads in millivolts, at one rate, for one window
formats/   one file in any format -> one EcgRecord
quality/   what is measured of a recording, and what looks suspicious
datasets/  data sets and hospital tables -> a stream of records, with findings and split
prepare/   records -> the signal store and the table of records, by several processes
"""
