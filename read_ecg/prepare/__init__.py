"""Records -> the signal store and the table of records, by several processes.

Owns which record takes which slot and how shards are made. Must not know one format from another.

preparation  the stage: sources -> signal store + records table
plan         which record takes which slot
record_rows  planned rows -> rows of the records table, and the rejected ones
shard_job    one shard, from recordings to bytes
workers      shards by several processes at once
"""
