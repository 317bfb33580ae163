"""From a recording in a file to twelve named leads in millivolts, and from data sets to records.

Owns formats, leads, units, resampling, and what makes a recording unfit. Must not know texts,
vectors or models. A bad recording is a `RecordError` that names its reason; the others go on.

record            EcgRecord: what every format is read into, and the reasons for rejection
leads             lead names, and the limb leads that follow from others
wfdb_header       the .hea file, read strictly: a missing gain is refused, not guessed
wfdb_record       WFDB recordings
recording         any recording file -> EcgRecord
window            EcgRecord -> the fixed window of int16 µV that is stored
resampling        another sampling rate, by soxr
table_file        CSV, TSV, Parquet or Excel -> rows of text
source            what a data set adapter yields
hospital_table    adapter: a hospital's own table
ptbxl             adapter: PTB-XL
splits            train, val and test, by patient
preparation       the stage: sources -> signal store + records table
"""
