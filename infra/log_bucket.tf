locals {
  # One line per request by the function: the prediction in coarse bins (or of each face, with LOG_FACES), no image or user.
  request_lines = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=\"${var.name}\"",
    "log_id(\"run.googleapis.com/stderr\")",
    "jsonPayload.request_id:*",
    "httpRequest.status>=100",
  ])

  # Log of `python -m training drift --log-to`: a warning if the predictions drift.
  drift_log = "age-gender-drift"

  # Log of `python -m training feedback --log-to`: a warning if live faces with true labels show a worse release.
  feedback_log = "age-gender-feedback"
}

# Request lines of the function, which the drift check compares with the evaluation of the release.
resource "google_storage_bucket" "logs" {
  #checkov:skip=CKV_GCP_62: Cloud Audit Logs already record every read; access logs are a weaker copy.
  #checkov:skip=CKV_GCP_78: the sink writes each file once, and no account may overwrite one.
  name                        = "${var.project_id}-logs"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 90
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_logging_project_sink" "requests" {
  #checkov:skip=CKV2_GCP_4: not an audit log, and a locked bucket would prevent deletion on request.
  name                   = "${var.name}-requests"
  destination            = "storage.googleapis.com/${google_storage_bucket.logs.name}"
  filter                 = local.request_lines
  unique_writer_identity = true
}

resource "google_storage_bucket_iam_member" "logs" {
  for_each = {
    "roles/storage.objectCreator" = google_logging_project_sink.requests.writer_identity
    # The scheduled drift check uses the training identity.
    "roles/storage.objectViewer" = google_service_account.training.member
  }
  bucket = google_storage_bucket.logs.name
  role   = each.key
  member = each.value
}
