"""Records -> the signal store and the table of records, by several processes.

Owns which record takes which slot and how shards are written. Must not know any one format.

preparation  the stage: sources -> signal store + records table
plan         which record takes which slot
record_rows  planned rows -> rows of the records table, and the rejected ones
reuse        signals that an earlier store already holds
sameness     whether recordings are still those that a store was made from
shard_job    one shard, from recordings to bytes
workers      several shards at once, in worker processes
"""
