#!/bin/sh
# Functions of the output `gitlab_setup`, whose calls follow them. It can be run again: it changes what differs.
set -eu

# `glab variable set` refuses a variable that exists, and `update` one that does not.
put() {
  glab variable update "$@" >/dev/null 2>&1 || glab variable set "$@" >/dev/null
}

require() { # NAME FOUND WANTED
  if [ "$2" != "$3" ]; then
    echo "$1 is '$2' in GitLab, not '$3'; you need the Maintainer role in the project" >&2
    exit 1
  fi
  echo "$1: set"
}

variable() { # NAME VALUE
  put "$1" "$2"
  require "$1" "$(glab variable get "$1")" "$2"
}

credential() { # PROVIDER ACCOUNT FILE SCOPE...
  provider=$1 account=$2 file=$3
  shift 3
  gcloud iam workload-identity-pools create-cred-config "$provider" --service-account="$account" \
    --credential-source-file=build/gitlab-oidc-token --output-file="$file"
  for scope; do
    put GOOGLE_APPLICATION_CREDENTIALS "$(cat "$file")" --type file --scope "$scope"
    found=$(glab variable get GOOGLE_APPLICATION_CREDENTIALS --scope "$scope")
    require "GOOGLE_APPLICATION_CREDENTIALS for $scope" "$found" "$(cat "$file")"
  done
}

# New namespaces of GitLab.com let nobody start a pipeline with variables, neither a person nor a schedule.
pipeline_variables() { # ROLE
  glab api --method PUT projects/:id -f "ci_pipeline_variables_minimum_override_role=$1" >/dev/null || {
    echo 'only an Owner of the project can change "Minimum role to use pipeline variables"' >&2
    exit 1
  }
  found=$(glab api projects/:id | sed -n 's/.*"ci_pipeline_variables_minimum_override_role": *"\([a-z_]*\)".*/\1/p')
  require "minimum role to use pipeline variables" "$found" "$1"
}
