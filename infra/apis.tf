resource "google_project_service" "this" {
  for_each = toset(concat(
    [
      "artifactregistry.googleapis.com",
      "cloudbuild.googleapis.com",
      "cloudresourcemanager.googleapis.com",
      "iam.googleapis.com",
      "iamcredentials.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "run.googleapis.com",
      "storage.googleapis.com",
      "sts.googleapis.com",
    ],
    var.billing_account == "" ? [] : ["billingbudgets.googleapis.com"],
    var.gpu_runner_zone == "" ? [] : ["compute.googleapis.com", "secretmanager.googleapis.com"],
  ))
  service = each.value

  # Other resources of the project may use the same API.
  disable_on_destroy = false
}
