"""Labelled faces, whatever they come in -> shards."""
