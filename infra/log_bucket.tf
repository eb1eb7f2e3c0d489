locals {
  # One line a request, written by the function itself: what was answered, in coarse bins, never who or what was sent.
  request_lines = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=\"${var.name}\"",
    "log_id(\"run.googleapis.com/stderr\")",
    "jsonPayload.request_id:*",
    "httpRequest.status>=100",
  ])

  # Where the pipeline has `python -m training drift --log-to` write its verdict: a warning, if the answers drifted.
  drift_log = "age-gender-drift"
}

# The function's request lines, for the comparison of answers with what the release answered in its evaluation.
resource "google_storage_bucket" "logs" {
  #checkov:skip=CKV_GCP_62: Cloud Audit Logs tell who read what; access logs would be a second, weaker account of it.
  #checkov:skip=CKV_GCP_78: the sink writes each file once, and nobody here may overwrite one.
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
  #checkov:skip=CKV2_GCP_4: no audit log; what is locked could not be deleted when somebody asks for it.
  name                   = "${var.name}-requests"
  destination            = "storage.googleapis.com/${google_storage_bucket.logs.name}"
  filter                 = local.request_lines
  unique_writer_identity = true
}

resource "google_storage_bucket_iam_member" "logs" {
  for_each = {
    "roles/storage.objectCreator" = google_logging_project_sink.requests.writer_identity
    # The schedule's drift check is a job of the training identity.
    "roles/storage.objectViewer" = google_service_account.training.member
  }
  bucket = google_storage_bucket.logs.name
  role   = each.key
  member = each.value
}
