"""The exception for a user's mistake."""


class InputError(ValueError):
    """Input that cannot be used: the message names file, entry, value and fix.

    The command line prints it as one line on standard error and exits with 1.
    """
