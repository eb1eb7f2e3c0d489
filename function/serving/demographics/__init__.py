"""Shares of gender and age in a crowd, corrected for the errors of a release's answers."""
