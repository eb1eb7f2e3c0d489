"""Typed client, the command `age-gender`, and Apache Beam batches. None of it is deployed."""
