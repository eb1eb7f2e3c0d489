# The registry: one folder a release, and the object `production` that names one of them.
resource "google_storage_bucket" "releases" {
  name                        = "${var.project_id}-releases"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # Releases are never overwritten, so only the pointer has old versions: the history of what was in production.
  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 365
      num_newer_versions         = 20
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

locals {
  pointer = "projects/_/buckets/${google_storage_bucket.releases.name}/objects/production"
}

resource "google_storage_bucket_iam_member" "releases_read" {
  for_each = {
    training = google_service_account.training.member
    deployer = google_service_account.deployer.member
    runtime  = google_service_account.runtime.member
  }
  bucket = google_storage_bucket.releases.name
  role   = "roles/storage.objectViewer"
  member = each.value
}

# Creating is not overwriting: without storage.objects.delete a published version stays as it is. The pointer is left
# out, since as long as there is none, making it would be creating too.
resource "google_storage_bucket_iam_member" "releases_publish" {
  bucket = google_storage_bucket.releases.name
  role   = "roles/storage.objectCreator"
  member = google_service_account.training.member

  condition {
    title      = "all but the production pointer"
    expression = "resource.name != \"${local.pointer}\""
  }
}

# Moving the pointer is an overwrite, which takes storage.objects.delete: granted on that one object.
resource "google_storage_bucket_iam_member" "releases_promote" {
  bucket = google_storage_bucket.releases.name
  role   = "roles/storage.objectUser"
  member = google_service_account.deployer.member

  condition {
    title      = "only the production pointer"
    expression = "resource.name == \"${local.pointer}\""
  }
}
