"""The two stores on disk: signals (Zarr) and text vectors (HDF5), and the table of records.

Owns formats, completeness and integrity: what is served was written whole, checked, and made under
the settings asked for. Must not know torch, transformers, or where a signal or vector comes from.

signals/       the signal store, `ecgpipe-signal/1` (Zarr)
vectors/       the store of text vectors, `ecgpipe-embed/1` (HDF5)
records_table  records.parquet: who is in the store, with findings and split
"""
