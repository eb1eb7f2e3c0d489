"""Metrics of a release, its comparison with the champion, and the reports about both."""
