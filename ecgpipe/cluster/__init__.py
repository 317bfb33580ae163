"""Batch clusters: stages become jobs, jobs become scripts, scripts go into a queue.

Owns the differences between Slurm, PBS, Grid Engine and PJM. Each script holds one ordinary ecgpipe
command and can be read, edited and queued by hand. Depends on settings and errors only; the caller
decides what to queue.

job          one job: its command, its resources, its dependencies           (pure)
chain        settings -> the jobs prepare, embed, train, eval                (pure)
shell_words  quoting for shell scripts                                       (pure)
script       the parts that all schedulers' scripts share                    (pure)
slurm, pbs, grid_engine, pjm
             one scheduler each: directives, restarts, submission, dependencies, job ids  (pure)
dialects     the four schedulers by name                                     (pure)
queueing     runs sbatch, qsub or pjsub; the only module that starts a process
"""
