"""What the function's log tells of a release in production."""
