"""Errors whose message is for the user."""


class StepError(Exception):
    """A failure that the user can fix. The message says what was found and what to do. Exit code 1."""


class RejectedFileError(Exception):
    """A file that `prepare` does not accept. The message is the reason."""
