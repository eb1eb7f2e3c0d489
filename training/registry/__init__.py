"""Releases: where they lie, who made them and of what, which of them is in production."""
