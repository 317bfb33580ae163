"""The signal store, `ecgpipe-signal/1` (Zarr).

Owns its bytes, completeness and checks. Must not know recordings or models.

format    paths and bytes of `ecgpipe-signal/1`: shards, index, metadata      (pure)
writer    building a store shard by shard, so that a kill costs one shard
finished  finished shards of another store, whose records are taken over
reader    serving checked records from a complete store
verify    checking every byte of a store, and that its parts agree
"""
