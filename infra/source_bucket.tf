# Source archives of function/ for builds, needed only during the build.
resource "google_storage_bucket" "sources" {
  #checkov:skip=CKV_GCP_62: Cloud Audit Logs already record every read; access logs are a weaker copy.
  #checkov:skip=CKV_GCP_78: an archive is written once and deleted after a week.
  name                        = "run-sources-${var.project_id}-${var.region}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  # Every archive can be recreated from its commit.
  force_destroy = true

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 7
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "sources" {
  for_each = {
    # Includes reading: a second deployment of a commit finds its archive.
    "roles/storage.objectUser"   = google_service_account.deployer.member
    "roles/storage.objectViewer" = google_service_account.builder.member
  }
  bucket = google_storage_bucket.sources.name
  role   = each.key
  member = each.value
}
