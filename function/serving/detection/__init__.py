"""Find faces in whole images and cut them out as the model expects them."""


class DetectorError(Exception):
    """A file of the detector is missing or damaged. The message says which, and how to mend it."""
