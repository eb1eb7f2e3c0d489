# `gcloud run deploy --source` puts its images into a repository of this name, and would make it itself if it were allowed to.
resource "google_artifact_registry_repository" "images" {
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
