# Archives of labelled faces. They are personal data: a deleted archive is unrecoverable after 30 days.
resource "google_storage_bucket" "data" {
  #checkov:skip=CKV_GCP_62: Cloud Audit Logs already record every read; access logs are a weaker copy.
  name                        = "${var.project_id}-faces"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  # Object versions already protect against mistakes. Soft delete would keep every face a week longer.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
      with_state                 = "ARCHIVED"
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "data" {
  bucket = google_storage_bucket.data.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.training.member
}
