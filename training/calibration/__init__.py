"""Calibration of probabilities and age intervals, and the input check, fitted by `convert`."""
