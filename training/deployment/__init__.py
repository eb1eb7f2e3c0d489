"""A release and the function onto Cloud Run: build, revision, verification, rollout, rollback."""
