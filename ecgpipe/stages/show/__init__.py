"""`ecgpipe show`: ECGs -> pictures.

show      ECGs -> pictures
records   the ECG that a name on the command line means
suspects  what check finds suspicious -> pages of small pictures
"""
