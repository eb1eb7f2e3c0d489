#!/usr/bin/env bash
# Runs at each start of the GPU runner: run jobs, and shut down after 30 minutes without a job.
set -euo pipefail
trap 'shutdown -h now' EXIT

about() {
  curl -sSf -H 'Metadata-Flavor: Google' "http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1"
}

version=18.5.0
if ! command -v gitlab-runner >/dev/null; then
  curl -sSfL -o /usr/local/bin/gitlab-runner \
    "https://s3.dualstack.us-east-1.amazonaws.com/gitlab-runner-downloads/v$version/binaries/gitlab-runner-linux-amd64"
  chmod +x /usr/local/bin/gitlab-runner
fi

secret=$(about token-secret)
CI_SERVER_URL=$(about gitlab-url)
# In the environment, since every user of the machine can read command lines.
CI_SERVER_TOKEN=$(gcloud secrets versions access latest --secret="$secret")
export CI_SERVER_TOKEN CI_SERVER_URL
# No `exec`, so that the trap runs at the end.
gitlab-runner run-single --executor docker --docker-image python:3.11-slim-bookworm --docker-gpus all --wait-timeout 1800
