"""The one error that ends a step with a sentence instead of a traceback."""


class StepError(Exception):
    """A step cannot go on; the message says what was found and how to mend it. Exit code 1."""
