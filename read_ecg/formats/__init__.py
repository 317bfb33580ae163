"""One file in any format -> one EcgRecord.

Owns how each format is recognised by its content and read strictly. Must not know data sets, tables
or stores.

recording    any recording file -> EcgRecord: which format it has, by its content
wfdb         WFDB recordings
wfdb_header  the .hea file, read strictly: a missing gain is refused, not guessed
dicom        DICOM waveforms
aecg         HL7 annotated ECG
scp          SCP-ECG
muse         GE MUSE XML
philips      Philips XML
mfer         MFER
edf          EDF and EDF+
csv_file     CSV and TSV
numpy_file   .npy and .npz
hdf5         HDF5, such as CODE-15's exams
matlab       .mat of version 5 to 7
bare_array   arrays of numbers, once rate, units and leads are known
clinical     shared by the clinical formats: limits, reasons, channels -> EcgRecord
xml          XML from outside, read safely
"""
