# Reads faces, publishes releases, checks for drift. It can put nothing into production.
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

# Google's own roles for this (run.developer, run.sourceDeveloper) reach every service and, by way of builds, every
# account and bucket of the project.
resource "google_project_iam_custom_role" "deploy" {
  role_id     = "${local.metric}_deploy"
  title       = "Add revisions to a service and move its traffic"
  permissions = ["run.revisions.get", "run.revisions.list", "run.services.get", "run.services.update"]
  depends_on  = [google_project_service.this]
}

# What belongs to no service, and can be granted on the project only.
resource "google_project_iam_custom_role" "build" {
  role_id     = "${local.metric}_build"
  title       = "Have an image built, and wait for builds and deployments"
  permissions = ["cloudbuild.builds.create", "cloudbuild.builds.get", "run.builds.create", "run.operations.get"]
  depends_on  = [google_project_service.this]
}

resource "google_project_iam_member" "deployer" {
  for_each = {
    build = google_project_iam_custom_role.build.name
    # Calling an API in the project's name.
    call = "roles/serviceusage.serviceUsageConsumer"
    # The canary's errors and latency, and why a build failed: all logs of the project but those of data access.
    logs = "roles/logging.viewer"
  }
  project = var.project_id
  role    = each.value
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

resource "google_project_iam_member" "builder_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.builder.member
}

# The drift check writes what it found where an alert sees it. The role knows no narrower scope than the project's logs.
resource "google_project_iam_member" "training_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.training.member
}
