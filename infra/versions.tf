terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }

  # GitLab stores the state. Pass address and token at `terraform init`.
  backend "http" {}
}

provider "google" {
  project        = var.project_id
  region         = var.region
  default_labels = { application = var.name }

  # With user credentials, budgets require a quota project.
  user_project_override = var.billing_account != ""
  billing_project       = var.project_id
}
