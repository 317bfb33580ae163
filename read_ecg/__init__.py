"""From a recording in a file to twelve named leads in millivolts; from data sets to records.

Owns formats, leads, units, resampling, and what makes a recording unfit. Must not know texts,
vectors or models. A bad recording is a `RecordError` that names its reason; the others go on.

record            EcgRecord: what every format is read into, and the reasons for rejection
units             units of voltage in millivolts
leads             lead names, and the limb leads that follow from others
wfdb_header       the .hea file, read strictly: a missing gain is refused, not guessed
wfdb_record       WFDB recordings
formats           which format a file has, by its content
clinical_file     what the clinical formats share: limits, reasons, the way to EcgRecord
clinical_xml      XML from outside, read safely
dicom_record      DICOM waveforms
aecg_record       HL7 annotated ECG
scp_record        SCP-ECG
muse_record       GE MUSE XML
philips_record    Philips XML
mfer_record       MFER
edf_record        EDF and EDF+
recording         any recording file -> EcgRecord
array_record      bare numbers, once rate, units and leads are said
csv_record        CSV and TSV
numpy_record      .npy and .npz
hdf5_record       HDF5, as CODE-15 keeps its exams
matlab_record     .mat of version 5 to 7
excerpt           a part of a longer recording
window            EcgRecord -> the fixed window of int16 µV that is stored
resampling        another sampling rate, by soxr
table_file        CSV, TSV, Parquet or Excel -> rows of text
source            what a data set adapter yields
packed_rows       its rows in little memory
hospital_table    adapter: a hospital's own table
ptbxl             adapter: PTB-XL
cinc2021          adapter: PhysioNet/CinC Challenge 2021
mitbih            adapter: windows of the MIT-BIH Arrhythmia Database
mimic_iv_ecg      adapter: MIMIC-IV-ECG
adapters          which adapter reads which kind of source
splits            train, val and test, by patient
shard_job         one shard, from recordings to bytes
workers           shards by several processes at once
plan              which record takes which slot
record_rows       planned rows -> rows of the records table, and the rejected ones
preparation       the stage: sources -> signal store + records table
quality           mains noise, clipping, disagreeing limb leads: measured of every recording
inspection        the facts of one recording that a person would look at
einthoven         whether the limb leads agree, and what mistake would explain that they do not
suspicion         facts of all recordings -> what is suspicious
"""
