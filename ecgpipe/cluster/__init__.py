"""Batch clusters: the stages as jobs, jobs as scripts, scripts into a queue.

Owns what Slurm, PBS, Grid Engine and PJM want. A script holds one ordinary command and can be read,
changed and queued by hand. Knows settings and errors, and neither stages nor rooms: what is to be
queued, it is told.

job          one job: a command, what it asks for, what it waits for         (pure)
chain        settings -> the jobs prepare, embed, train, eval                (pure)
shell_words  any text as a word of a shell script                            (pure)
script       what all schedulers' scripts have in common                     (pure)
slurm, pbs, grid_engine, pjm
             one scheduler each: its own lines, how a job starts itself again, how it is queued,
             made to wait, and known by its id                               (pure)
dialects     the four by name                                                (pure)
queueing     runs sbatch, qsub or pjsub; the one place that starts a process
"""
