"""What an ECG is here: twelve named leads in millivolts, at one rate, for one window.

Owns leads, units, windows and resampling. Must not know files, data sets or stores.

record      EcgRecord: what every format is read into, parts of it, and the reasons for rejection
leads       lead names, units, and the limb leads that follow from others
window      EcgRecord -> the fixed window of int16 µV that is stored
resampling  another sampling rate, by soxr
"""
