"""The command line: parse, call one function, print.

main  the commands and exit codes
"""
