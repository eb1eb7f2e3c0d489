locals {
  # `aud` in .gitlab-ci.yml.
  gitlab_audience = "age-gender-detection"

  gitlab_ref = "refs/heads/${var.gitlab_branch}"

  # Address of the file that defines the pipeline, up to its ref. The tokens of its child pipelines name it, too.
  gitlab_file   = var.gitlab_project_path == "" ? "" : "${trimprefix(var.gitlab_url, "https://")}/${var.gitlab_project_path}//.gitlab-ci.yml@"
  gitlab_config = local.gitlab_file == "" ? "" : "${local.gitlab_file}${local.gitlab_ref}"

  # All projects on gitlab.com have the same issuer, so the condition must name the project. Only people who may push to
  # this branch can start a job that meets it.
  gitlab_condition = join(" && ", concat(
    ["assertion.project_id == \"${var.gitlab_project_id}\"", "assertion.ref_protected == \"true\"", "assertion.ref_path == \"${local.gitlab_ref}\""],
    local.gitlab_config == "" ? [] : ["assertion.ci_config_ref_uri == \"${local.gitlab_config}\""],
  ))

  # Environments of deployment jobs in the pipeline.
  gitlab_environments = ["candidate", "production"]
  deployer_condition = join(" && ", concat(
    [local.gitlab_condition, "assertion.environment in ${jsonencode(local.gitlab_environments)}"],
    var.protected_environments ? ["assertion.environment_protected == \"true\""] : [],
  ))

  # Google allows 127 bytes. The token's own subject has the path of the project and the name of the branch. Audit logs
  # show this one, which leads to the job.
  gitlab_subject = "\"project:\" + assertion.project_id + \":job:\" + assertion.job_id"
}

resource "google_iam_workload_identity_pool" "gitlab" {
  workload_identity_pool_id = "${var.name}-gitlab"
  display_name              = "GitLab pipelines"
  depends_on                = [google_project_service.this]
}

resource "google_iam_workload_identity_pool_provider" "training" {
  workload_identity_pool_id          = google_iam_workload_identity_pool.gitlab.workload_identity_pool_id
  workload_identity_pool_provider_id = "training"
  display_name                       = "Jobs on the branch"
  attribute_condition                = local.gitlab_condition
  attribute_mapping = {
    "google.subject"       = local.gitlab_subject
    "attribute.project_id" = "assertion.project_id"
  }

  oidc {
    issuer_uri        = var.gitlab_url
    allowed_audiences = [local.gitlab_audience]
  }
}

# A separate provider: only jobs with an environment have that claim, and a mapping requires its claims.
resource "google_iam_workload_identity_pool_provider" "deployer" {
  workload_identity_pool_id          = google_iam_workload_identity_pool.gitlab.workload_identity_pool_id
  workload_identity_pool_provider_id = "deployer"
  display_name                       = "Jobs that deploy"
  attribute_condition                = local.deployer_condition
  attribute_mapping = {
    "google.subject"        = local.gitlab_subject
    "attribute.environment" = "assertion.environment"
  }

  oidc {
    issuer_uri        = var.gitlab_url
    allowed_audiences = [local.gitlab_audience]
  }
}

# The role allows access tokens of the account, and identity tokens for the private service.
resource "google_service_account_iam_member" "gitlab_training" {
  service_account_id = google_service_account.training.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.gitlab.name}/attribute.project_id/${var.gitlab_project_id}"
}

resource "google_service_account_iam_member" "gitlab_deployer" {
  for_each           = toset(local.gitlab_environments)
  service_account_id = google_service_account.deployer.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.gitlab.name}/attribute.environment/${each.key}"
}
