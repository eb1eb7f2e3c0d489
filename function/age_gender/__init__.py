"""The asking half: a typed client, the command `age-gender` and the batch; the deployed function holds none of it."""
