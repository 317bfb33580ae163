"""`ecgpipe show`: ECGs -> pictures.

show      draw each ECG on a sheet
records   find and read the ECG that a name means
suspects  draw what check finds suspicious, six a page
"""
