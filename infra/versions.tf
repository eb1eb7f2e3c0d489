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
}
