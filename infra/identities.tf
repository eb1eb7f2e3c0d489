# Reads faces, publishes releases and checks for drift. It cannot deploy.
resource "google_service_account" "training" {
  account_id   = "${var.name}-training"
  display_name = "Training pipeline"
  depends_on   = [google_project_service.this]
}

# Moves the production pointer and deploys the function. It cannot publish releases.
resource "google_service_account" "deployer" {
  account_id   = "${var.name}-deployer"
  display_name = "Deployment of the function"
  depends_on   = [google_project_service.this]
}

# Identity of the function, which reads releases.
resource "google_service_account" "runtime" {
  account_id   = "${var.name}-runtime"
  display_name = "The running function"
  depends_on   = [google_project_service.this]
}

# Identity of image builds. Without it builds use the project's default account, often an Editor.
resource "google_service_account" "builder" {
  account_id   = "${var.name}-builder"
  display_name = "Build of the function's image"
  depends_on   = [google_project_service.this]
}

# Google's predefined roles (run.developer, run.sourceDeveloper) apply to every service and, through builds, to every
# account and bucket of the project.
resource "google_project_iam_custom_role" "deploy" {
  role_id     = "${local.metric}_deploy"
  title       = "Add revisions to a service and move its traffic"
  permissions = ["run.revisions.get", "run.revisions.list", "run.services.get", "run.services.update"]
  depends_on  = [google_project_service.this]
}

# Permissions that can only be granted on the project, all of them from roles/run.sourceDeveloper.
resource "google_project_iam_custom_role" "build" {
  role_id     = "${local.metric}_build"
  title       = "Have an image built, and wait for builds and deployments"
  permissions = ["cloudbuild.builds.create", "cloudbuild.builds.get", "run.operations.get"]
  depends_on  = [google_project_service.this]
}

# The job `plan` compares the live revision with the commit.
resource "google_project_iam_custom_role" "plan" {
  role_id     = "${local.metric}_plan"
  title       = "Read a service and its revisions"
  permissions = ["run.revisions.get", "run.services.get"]
  depends_on  = [google_project_service.this]
}

resource "google_project_iam_member" "deployer" {
  for_each = {
    build = google_project_iam_custom_role.build.name
    # Permission to call APIs in the project's name.
    call = "roles/serviceusage.serviceUsageConsumer"
    # Reads errors and latency of the canary, and build logs: all logs of the project except data access logs.
    logs = "roles/logging.viewer"
  }
  project = var.project_id
  role    = each.value
  member  = google_service_account.deployer.member
}

# Deploying a service or a build that runs as an account requires permission to act as that account.
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

# The drift check writes its result to the log for the alert. The role cannot be limited to one log.
resource "google_project_iam_member" "training_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.training.member
}
