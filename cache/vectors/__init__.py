"""The store of text vectors, `ecgpipe-embed/1` (HDF5).

Owns sealed parts, their keys and upkeep. Must not know how a vector is made.

fingerprint  what a text vector depends on
part         one sealed HDF5 part file of `ecgpipe-embed/1`
reader       a folder of parts, read: which texts are there, their vectors
writer       adding vectors: collected, sealed, from a thread of its own
upkeep       checking every row, clearing rubbish, joining small parts
exchange     one plain HDF5 file for others, and from others
"""
