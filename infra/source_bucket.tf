# What a deployment builds from: function/ as an archive, of use only while its build runs.
resource "google_storage_bucket" "sources" {
  #checkov:skip=CKV_GCP_62: Cloud Audit Logs tell who read what; access logs would be a second, weaker account of it.
  #checkov:skip=CKV_GCP_78: an archive is written once and thrown away.
  name                        = "run-sources-${var.project_id}-${var.region}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  # Nothing here is worth keeping: any commit makes its archive again.
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
    # Reading too: the same commit deployed again finds its archive there.
    "roles/storage.objectUser"   = google_service_account.deployer.member
    "roles/storage.objectViewer" = google_service_account.builder.member
  }
  bucket = google_storage_bucket.sources.name
  role   = each.key
  member = each.value
}
