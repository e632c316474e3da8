terraform {
  required_version = ">= 1.11.0, < 2.0.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.40.0, < 8.0.0"
    }
  }

  # terraform init -backend-config="bucket=<bucket of the state>": versioned, closed to the public, locked while it is written.
  backend "gcs" {
    prefix = "streamify/dev"
  }
}

provider "google" {
  project               = var.project_id
  region                = var.region
  billing_project       = var.project_id
  user_project_override = true
}
