"""Drawn faces, as training/faces.py draws them."""

from training.faces import SIDE, draw, write_faces

__all__ = ["SIDE", "draw", "write_faces"]
