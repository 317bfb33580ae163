"""The two stores on disk: signals (Zarr) and text vectors (HDF5), and the table of records.

Owns formats, completeness and integrity: whatever is served was written completely, is checked, and
was made under the given settings. Must not know torch, transformers, or how a signal or vector is
made.

signals/       the signal store, `ecgpipe-signal/1` (Zarr)
vectors/       the store of text vectors, `ecgpipe-embed/1` (HDF5)
records_table  records.parquet: the records in the store, with findings and split
"""
