"""Lets `python -m ecgpipe` do what the `ecgpipe` command does."""

from ecgpipe.commands.main import main

if __name__ == "__main__":
    main()
