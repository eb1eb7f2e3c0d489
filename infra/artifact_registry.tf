# Repository of the built images, with the name that gcloud uses.
resource "google_artifact_registry_repository" "images" {
  #checkov:skip=CKV_GCP_84: images contain only public code, and Google's keys encrypt them.
  repository_id = "cloud-run-source-deploy"
  location      = var.region
  format        = "DOCKER"
  description   = "Images that Cloud Run builds from function/"

  cleanup_policies {
    id     = "keep-the-last-ten"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }

  cleanup_policies {
    id     = "delete-after-ninety-days"
    action = "DELETE"
    condition {
      older_than = "90d"
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_artifact_registry_repository_iam_member" "images" {
  for_each = {
    "roles/artifactregistry.writer" = google_service_account.builder.member
    "roles/artifactregistry.reader" = google_service_account.deployer.member
  }
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = each.key
  member     = each.value
}
