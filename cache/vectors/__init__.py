"""The store of text vectors, `ecgpipe-embed/1` (HDF5).

Owns sealed part files, their keys and upkeep. Must not know how a vector is made.

fingerprint  what a text vector depends on
part         one sealed HDF5 part file of `ecgpipe-embed/1`
reader       a folder of parts: which texts have a vector, and the vectors
writer       adding vectors: collected, sealed, from a background thread
upkeep       checking every row, moving bad parts aside, joining small parts
exchange     one plain HDF5 file, to and from other tools
"""
