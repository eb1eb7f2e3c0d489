# The registry: one folder a release, and the object `production` that names one of them.
resource "google_storage_bucket" "releases" {
  #checkov:skip=CKV_GCP_62: Cloud Audit Logs tell who read what; access logs would be a second, weaker account of it.
  name                        = "${var.project_id}-releases"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # Releases are never overwritten: old versions are those of the pointer, and what `prune` deleted.
  versioning {
    enabled = true
  }

  # The history of what was in production.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      matches_prefix             = [local.pointer]
      days_since_noncurrent_time = 365
      num_newer_versions         = 20
      with_state                 = "ARCHIVED"
    }
  }

  # A pruned release can be brought back for a month. The name of one begins with its date.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      matches_prefix             = ["2"]
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

locals {
  pointer        = "production"
  pointer_object = "projects/_/buckets/${google_storage_bucket.releases.name}/objects/${local.pointer}"
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
    expression = "resource.name != \"${local.pointer_object}\""
  }
}

# Moving the pointer is an overwrite, which takes storage.objects.delete: granted on that one object.
resource "google_storage_bucket_iam_member" "releases_promote" {
  bucket = google_storage_bucket.releases.name
  role   = "roles/storage.objectUser"
  member = google_service_account.deployer.member

  condition {
    title      = "only the production pointer"
    expression = "resource.name == \"${local.pointer_object}\""
  }
}

# Holding what was promoted: a held object can't be deleted by anybody before somebody lifts the hold.
resource "google_project_iam_custom_role" "hold" {
  role_id     = "${local.metric}_hold"
  title       = "Put a hold on an object, or lift it"
  permissions = ["storage.objects.get", "storage.objects.update"]
  depends_on  = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "releases_hold" {
  bucket = google_storage_bucket.releases.name
  role   = google_project_iam_custom_role.hold.name
  member = google_service_account.deployer.member
}
