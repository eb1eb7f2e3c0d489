"""The error with which a command ends in one line instead of a traceback."""


class StepError(Exception):
    """A failure that the user can fix. The message says what was found and what to do. Exit code 1."""
