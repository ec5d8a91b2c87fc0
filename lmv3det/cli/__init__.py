"""The command line: one module a command, which parses arguments, calls a room below and prints.

Imports every other room, but only inside a command, so that `lmv3det` alone starts at once.
"""

from lmv3det.cli.app import COMMANDS, main

__all__ = ["COMMANDS", "main"]
