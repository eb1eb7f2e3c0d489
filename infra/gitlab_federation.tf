locals {
  # `aud` in .gitlab-ci.yml.
  gitlab_audience = "age-gender-detection"

  # All projects on gitlab.com have the same issuer, so the condition must name the project. Only people who may push to a
  # protected branch or tag can start a job that meets it.
  gitlab_condition = "assertion.project_id == \"${var.gitlab_project_id}\" && assertion.ref_protected == \"true\""

  # Environments of deployment jobs in .gitlab-ci.yml.
  gitlab_environments = ["candidate", "production"]
}

resource "google_iam_workload_identity_pool" "gitlab" {
  workload_identity_pool_id = "${var.name}-gitlab"
  display_name              = "GitLab pipelines"
  depends_on                = [google_project_service.this]
}

resource "google_iam_workload_identity_pool_provider" "training" {
  workload_identity_pool_id          = google_iam_workload_identity_pool.gitlab.workload_identity_pool_id
  workload_identity_pool_provider_id = "training"
  display_name                       = "Jobs on protected refs"
  attribute_condition                = local.gitlab_condition
  attribute_mapping = {
    "google.subject"       = "assertion.sub"
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
  attribute_condition                = "${local.gitlab_condition} && assertion.environment in ${jsonencode(local.gitlab_environments)}"
  attribute_mapping = {
    "google.subject"        = "assertion.sub"
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
