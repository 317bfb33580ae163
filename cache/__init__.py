"""The two stores on disk: signals (Zarr) and text vectors (HDF5), and the table of records.

Owns formats, completeness and integrity: what is served was written whole, checked, and made under
the settings asked for. Must not know torch, transformers, or where a signal or vector comes from.

signal_format   the bytes of `ecgpipe-signal/1`: shards, index, metadata      (pure)
signal_writer   building a signal store shard by shard, so that a kill costs one shard
signal_reader   serving records from a complete store, checked
signal_verify   every byte of a store, and that its parts agree
records_table   records.parquet: who is in the store, with findings and split
fingerprint     what a text vector depends on
vector_part     one sealed HDF5 part file of `ecgpipe-embed/1`
vector_cache    a folder of parts, read: which texts are there, their vectors
vector_writer   adding vectors: collected, sealed, from a thread of its own
vector_upkeep   checking every row, clearing rubbish, joining small parts
vector_exchange one plain HDF5 file for others, and from others
"""
