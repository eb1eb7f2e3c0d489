# The registry: one folder per release, and the object `production`, the pointer to one of them.
resource "google_storage_bucket" "releases" {
  #checkov:skip=CKV_GCP_62: Cloud Audit Logs already record every read; access logs are a weaker copy.
  name                        = "${var.project_id}-releases"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # Releases are never overwritten, so noncurrent versions are old pointers and releases deleted by `prune`.
  versioning {
    enabled = true
  }

  # History of the pointer.
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

  # A pruned release can be restored for 30 days. Release names begin with a date.
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

# Without storage.objects.delete an account can create objects but not overwrite them, so a published version cannot
# change. The condition excludes the pointer, which the account could otherwise create.
resource "google_storage_bucket_iam_member" "releases_publish" {
  bucket = google_storage_bucket.releases.name
  role   = "roles/storage.objectCreator"
  member = google_service_account.training.member

  condition {
    title      = "all except the production pointer"
    expression = "resource.name != \"${local.pointer_object}\""
  }
}

# Moving the pointer overwrites it, which requires storage.objects.delete on that object.
resource "google_storage_bucket_iam_member" "releases_promote" {
  bucket = google_storage_bucket.releases.name
  role   = "roles/storage.objectUser"
  member = google_service_account.deployer.member

  condition {
    title      = "only the production pointer"
    expression = "resource.name == \"${local.pointer_object}\""
  }
}

# Attestations of images. Each build writes a folder of its own, and the account cannot change it afterwards.
resource "google_storage_bucket_iam_member" "releases_attest" {
  bucket = google_storage_bucket.releases.name
  role   = "roles/storage.objectCreator"
  member = google_service_account.deployer.member

  condition {
    title      = "only attestations of images"
    expression = "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.releases.name}/objects/.images/\")"
  }
}

# Holds on promoted releases: nobody can delete a held object before the hold is released.
resource "google_project_iam_custom_role" "hold" {
  role_id     = "${local.metric}_hold"
  title       = "Hold objects and release holds"
  permissions = ["storage.objects.get", "storage.objects.update"]
  depends_on  = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "releases_hold" {
  bucket = google_storage_bucket.releases.name
  role   = google_project_iam_custom_role.hold.name
  member = google_service_account.deployer.member
}
