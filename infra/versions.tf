terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }

  # State lives in GitLab; the address and the token come in at `terraform init`.
  backend "http" {}
}

provider "google" {
  project        = var.project_id
  region         = var.region
  default_labels = { application = var.name }

  # Budgets are refused to a person's own credentials unless a project is named that the call counts for.
  user_project_override = var.billing_account != ""
  billing_project       = var.project_id
}
