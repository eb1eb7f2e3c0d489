terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }

  # The state is in a bucket that no job can write: GitLab lets every Developer, and so every job, read a
  # state that it stores. Pass the name at `terraform init -backend-config=bucket=…`.
  backend "gcs" {
    prefix = "age-gender"
  }
}

provider "google" {
  project        = var.project_id
  region         = var.region
  default_labels = { application = var.name }

  # With user credentials, budgets require a quota project.
  user_project_override = var.billing_account != ""
  billing_project       = var.project_id
}
