# Identity of the jobs that plan infra/. It reads the state and what Terraform has made, and changes nothing. No identity of
# GitLab can apply: who may grant roles owns the project.
locals {
  plan_identity = var.state_bucket == "" ? [] : ["infra"]

  # GitLab's environment of these jobs.
  plan_environment = "infrastructure"

  plan_refs = [for branch in compact([var.gitlab_branch, var.gitlab_infra_branch]) : "refs/heads/${branch}"]

  # A token of a merge request names its source project and branch. A plan runs code of that branch, so the branch must be
  # protected, like the default branch: a fork has another project, and GitLab protects no other source branch.
  plan_condition = join(" && ", concat(
    ["assertion.project_id == \"${var.gitlab_project_id}\"", "assertion.ref_protected == \"true\"", "assertion.ref_path in ${jsonencode(local.plan_refs)}"],
    local.gitlab_file == "" ? [] : ["assertion.ci_config_ref_uri == \"${local.gitlab_file}\" + assertion.ref_path"],
    ["assertion.environment == \"${local.plan_environment}\""],
  ))
}

resource "google_service_account" "infra" {
  for_each     = toset(local.plan_identity)
  account_id   = "${var.name}-${each.key}"
  display_name = "Plans of infra/"
  depends_on   = [google_project_service.this]
}

# What a refresh of the resources in this folder reads. The predefined viewers also read logs, data and other services.
resource "google_project_iam_custom_role" "infra" {
  for_each = toset(local.plan_identity)
  role_id  = "${local.metric}_${each.key}"
  title    = "Read what Terraform has made"
  permissions = concat(
    [
      "artifactregistry.repositories.get", "artifactregistry.repositories.getIamPolicy",
      "iam.roles.get", "iam.serviceAccounts.get", "iam.serviceAccounts.getIamPolicy",
      "logging.logMetrics.get", "logging.sinks.get",
      "monitoring.alertPolicies.get", "monitoring.dashboards.get", "monitoring.notificationChannels.get",
      "resourcemanager.projects.get", "resourcemanager.projects.getIamPolicy",
      "run.services.get", "run.services.getIamPolicy",
      "serviceusage.services.list",
      "storage.buckets.get", "storage.buckets.getIamPolicy",
    ],
    # The provider then names the project in each request, which requires this.
    var.billing_account == "" ? [] : ["serviceusage.services.use"],
    var.gpu_runner_zone == "" ? [] : [
      "compute.disks.get", "compute.instances.get", "compute.networks.get", "compute.subnetworks.get",
      "secretmanager.secrets.get", "secretmanager.secrets.getIamPolicy",
    ],
  )
  depends_on = [google_project_service.this]
}

resource "google_project_iam_member" "infra" {
  for_each = var.state_bucket == "" ? {} : {
    read = google_project_iam_custom_role.infra["infra"].name
    # The names of its permissions may be none for a custom role.
    pools = "roles/iam.workloadIdentityPoolViewer"
  }
  project = var.project_id
  role    = each.value
  member  = google_service_account.infra["infra"].member
}

# You create the bucket before the first `terraform init`.
resource "google_storage_bucket_iam_member" "state" {
  for_each = toset(local.plan_identity)
  bucket   = var.state_bucket
  role     = "roles/storage.objectViewer"
  member   = google_service_account.infra[each.key].member
}

resource "google_iam_workload_identity_pool_provider" "infra" {
  for_each                           = toset(local.plan_identity)
  workload_identity_pool_id          = google_iam_workload_identity_pool.gitlab.workload_identity_pool_id
  workload_identity_pool_provider_id = each.key
  display_name                       = "Jobs that plan infra/"
  attribute_condition                = local.plan_condition
  attribute_mapping = {
    "google.subject"        = local.gitlab_subject
    "attribute.environment" = "assertion.environment"
  }

  oidc {
    issuer_uri        = var.gitlab_url
    allowed_audiences = [local.gitlab_audience]
  }
}

resource "google_service_account_iam_member" "gitlab_infra" {
  for_each           = toset(local.plan_identity)
  service_account_id = google_service_account.infra[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.gitlab.name}/attribute.environment/${local.plan_environment}"
}
