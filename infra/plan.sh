#!/bin/sh
# Plan infra/ in a job of GitLab. Its identity reads the state and Google Cloud, and can change neither.
#
#   plan.sh        count the resources that would change, for GitLab's merge request
#   plan.sh drift  exit with 2 if anything would change, and send a notice
set -eu

export TF_INPUT=false TF_IN_AUTOMATION=true
# infra/terraform.tfvars has the other variables, and comes before these.
export TF_VAR_project_id="$GOOGLE_CLOUD_PROJECT" TF_VAR_state_bucket="$STATE_BUCKET"
export TF_VAR_gitlab_project_id="$CI_PROJECT_ID" TF_VAR_gitlab_project_path="$CI_PROJECT_PATH"
export TF_VAR_gitlab_url="$CI_SERVER_URL" TF_VAR_gitlab_branch="$CI_DEFAULT_BRANCH"
export TF_VAR_gitlab_infra_branch="${INFRA_BRANCH:-}"

# Write {"create": 1, "update": 0, "delete": 0} of "Plan: 1 to add, 0 to change, 0 to destroy."
count() { # SUMMARY
  counts=$(printf '%s\n' "$1" | sed -n 's/^Plan: \([0-9]* to import, \)\{0,1\}\([0-9]*\) to add, \([0-9]*\) to change, \([0-9]*\) to destroy.*/{"create": \2, "update": \3, "delete": \4}/p')
  if [ -z "$counts" ] && ! printf '%s\n' "$1" | grep -q -e '^No changes' -e '^Changes to Outputs'; then
    echo "this version of Terraform describes a plan in other words: adapt infra/plan.sh" >&2
    exit 1
  fi
  printf '%s\n' "${counts:-{\"create\": 0, \"update\": 0, \"delete\": 0\}}"
}

# The image has BusyBox's wget only, whose messages would name the address, a secret.
notify() { # TEXT
  [ -n "${NOTICE_WEBHOOK:-}" ] || return 0
  wget -q -O /dev/null -T 10 --header='Content-Type: application/json' \
    --post-data="{\"text\": \"$CI_PROJECT_PATH: $1\\n$CI_JOB_URL\"}" "$NOTICE_WEBHOOK" 2>/dev/null ||
    echo 'warning: the notice could not be sent to NOTICE_WEBHOOK' >&2
}

mkdir -p build
terraform init -backend-config="bucket=$STATE_BUCKET"
# To lock the state is to write an object.
changes=0
terraform plan -lock=false -detailed-exitcode -out=build/plan || changes=$?
[ "$changes" = 0 ] || [ "$changes" = 2 ] || exit "$changes"

if [ "${1:-}" != drift ]; then
  count "$(terraform show -no-color build/plan)" >build/plan.json
elif [ "$changes" = 2 ]; then
  notify 'Google Cloud is not as infra/ says: the log of the job has the differences'
  exit 2
fi
