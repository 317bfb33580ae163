"""What is scored: lists of findings and tasks, as files.

Owns how a task is written and its truth for given records. Must not know scores.

taxonomy    reading a list, and finding what a name means
task        what it means for a taxonomy, and its truth for given records
task_file   what a task file may say
named_file  a list or task that ships, or a file of one's own
ensemble    several wordings of a class to one score            (pure)
"""
