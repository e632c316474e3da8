# Images: tags never move, old ones go.

resource "google_artifact_registry_repository" "this" {
  #checkov:skip=CKV_GCP_84:encrypted with Google's keys; a key of one's own is a project-wide default (organisation policy), not this module's matter
  repository_id          = var.name
  location               = var.region
  format                 = "DOCKER"
  description            = "Images of Streamify"
  labels                 = var.labels
  cleanup_policy_dry_run = false

  docker_config {
    immutable_tags = true
  }

  vulnerability_scanning_config {
    enablement_config = "INHERITED"
  }

  cleanup_policies {
    id     = "old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "${var.keep_days * 24 * 60 * 60}s"
    }
  }

  # Wins over the rule above: a rollback always finds what it goes back to.
  cleanup_policies {
    id     = "newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = var.keep_count
    }
  }
}

resource "google_artifact_registry_repository_iam_member" "writer" {
  location   = google_artifact_registry_repository.this.location
  repository = google_artifact_registry_repository.this.name
  role       = "roles/artifactregistry.writer"
  member     = var.writer
}

resource "google_artifact_registry_repository_iam_member" "readers" {
  for_each = var.readers

  location   = google_artifact_registry_repository.this.location
  repository = google_artifact_registry_repository.this.name
  role       = "roles/artifactregistry.reader"
  member     = each.value
}
