"""Data sets and hospital tables -> a stream of records, with findings and split.

Owns what each data set says about its records. Must not know the signal store.

source          what a data set adapter returns
row_table       the rows of a source in one Arrow table
adapters        which adapter reads which kind of source
table_file      CSV, TSV, Parquet or Excel -> rows of text
excel           which sheet of a workbook is read
person          ages and sexes as people write them       (pure)
hospital_table  adapter: a hospital's own table
ptbxl           adapter: PTB-XL
cinc2021        adapter: PhysioNet/CinC Challenge 2021
mitbih          adapter: windows of the MIT-BIH Arrhythmia Database
mimic_iv_ecg    adapter: MIMIC-IV-ECG
echonext        adapter: EchoNext, whose ECGs come with what an echocardiogram measured
splits          train, val and test, by patient
"""
