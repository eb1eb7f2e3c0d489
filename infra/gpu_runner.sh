#!/usr/bin/env bash
# Runs at each start of the GPU runner: run jobs, and shut down after 30 minutes without a job.
set -euo pipefail
trap 'shutdown -h now' EXIT

about() {
  curl -sSf -H 'Metadata-Flavor: Google' "http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1"
}

# The metadata server gives everyone who reaches it the machine's account, and so the runner's token. Containers only get
# its name server.
systemctl start docker
iptables -I DOCKER-USER -d 169.254.169.254 -p tcp ! --dport 53 -j REJECT

runner=/usr/local/bin/gitlab-runner
version=$(about runner-version)
sha256=$(about runner-sha256)
if ! sha256sum --check --status <<<"$sha256  $runner"; then
  # A binary with another digest is never executable.
  curl -sSfL -o "$runner.partial" \
    "https://s3.dualstack.us-east-1.amazonaws.com/gitlab-runner-downloads/v$version/binaries/gitlab-runner-linux-amd64"
  sha256sum --check <<<"$sha256  $runner.partial"
  chmod +x "$runner.partial"
  mv "$runner.partial" "$runner"
fi

secret=$(about token-secret)
CI_SERVER_URL=$(about gitlab-url)
# In the environment, since every user of the machine can read command lines.
CI_SERVER_TOKEN=$(gcloud secrets versions access latest --secret="$secret")
export CI_SERVER_TOKEN CI_SERVER_URL
# No `exec`, so that the trap runs at the end.
"$runner" run-single --executor docker --docker-image python:3.11-slim-bookworm --docker-gpus all --wait-timeout 1800
