# Reads faces, publishes releases. It can put nothing into production.
resource "google_service_account" "training" {
  account_id   = "${var.name}-training"
  display_name = "Training pipeline"
  depends_on   = [google_project_service.this]
}

# Moves the production pointer and deploys the function. It can publish no release.
resource "google_service_account" "deployer" {
  account_id   = "${var.name}-deployer"
  display_name = "Deployment of the function"
  depends_on   = [google_project_service.this]
}

# What the function runs as: it reads releases.
resource "google_service_account" "runtime" {
  account_id   = "${var.name}-runtime"
  display_name = "The running function"
  depends_on   = [google_project_service.this]
}

# What builds the function's image. Without it builds run as the project's default account, often an Editor.
resource "google_service_account" "builder" {
  account_id   = "${var.name}-builder"
  display_name = "Build of the function's image"
  depends_on   = [google_project_service.this]
}

locals {
  # Both roles below reach the objects of every bucket, faces and releases too; meant is the one that
  # `gcloud run deploy --source` uploads to.
  only_source_objects = "resource.type != \"storage.googleapis.com/Object\" || resource.name.startsWith(\"projects/_/buckets/run-sources-${var.project_id}-${var.region}/\")"
}

resource "google_project_iam_member" "build" {
  for_each = {
    "roles/run.builder"         = google_service_account.builder.member
    "roles/run.sourceDeveloper" = google_service_account.deployer.member
  }
  project = var.project_id
  role    = each.key
  member  = each.value

  condition {
    title      = "of all objects only the uploaded source"
    expression = local.only_source_objects
  }
}

# Calling an API in the project's name, which gcloud does.
resource "google_project_iam_member" "deployer" {
  project = var.project_id
  role    = "roles/serviceusage.serviceUsageConsumer"
  member  = google_service_account.deployer.member
}

# Deploying a service that runs as an account, or a build that does, takes the right to act as it.
resource "google_service_account_iam_member" "deployer_acts_as" {
  for_each = {
    builder = google_service_account.builder.name
    runtime = google_service_account.runtime.name
  }
  service_account_id = each.value
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.deployer.member
}
