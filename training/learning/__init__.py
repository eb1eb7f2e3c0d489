"""Architectures, losses, input pipeline and training loop."""
