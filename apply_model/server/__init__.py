"""One local page that asks a trained model about a recording that is dropped on it.

Owns the page, the addresses behind it and what keeps both private: the token, the checks of host
and origin, the limits, and a process of its own that reads what a stranger may have made. Must not
know a run, and writes nothing that outlives it.

words    every text of the page and of its errors, in both languages     (pure)
access   who may ask: token, host, origin; the headers of every answer
turns    one computation at a time, with a queue and a time limit
uploads  files of a request in memory; a private folder for the readers
reading  recordings -> windows, in a process that may be killed
desk     what is kept of each ECG, and what can be asked about it
app      addresses -> the desk's answers
"""
