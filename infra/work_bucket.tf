# What a training job leaves for the next one: prepared faces and checkpoints. Everything is deleted after three days, so
# a face that was deleted from the archive is gone here as well.
resource "google_storage_bucket" "work" {
  #checkov:skip=CKV_GCP_62: Cloud Audit Logs already record every read; access logs are a weaker copy.
  #checkov:skip=CKV_GCP_78: Versions would keep faces longer. Each pipeline can write these files again.
  name                        = "${var.project_id}-work"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 3
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 1
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "work" {
  bucket = google_storage_bucket.work.name
  role   = "roles/storage.objectUser"
  member = google_service_account.training.member
}
