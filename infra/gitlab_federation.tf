locals {
  # What `aud` says in .gitlab-ci.yml.
  gitlab_audience = "age-gender-detection"

  # gitlab.com has one issuer for everybody: without the project in the condition, any of its projects would be let in.
  # Only who may push to a protected branch or tag can start a job that passes.
  gitlab_condition = "assertion.project_id == \"${var.gitlab_project_id}\" && assertion.ref_protected == \"true\""

  # What .gitlab-ci.yml calls the environments whose jobs deploy.
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

# A provider of its own, since only jobs with an environment carry that claim and a mapping must find what it names.
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

# The role makes access tokens of the account, and the identity tokens that the private service wants.
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
