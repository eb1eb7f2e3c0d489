"""Deployment to Cloud Run: build, revision, verification, rollout and rollback."""
