# The lake, and a bucket apart from it for state: rules about old events never reach checkpoints, logs and backups.

locals {
  # What the streaming job owns; it alone writes there. `_log` and `_watermark` say what exists: no rule below may touch them.
  stream_prefixes = ["events/", "_log/", "_dead_letters/", "_watermark/"]
  worker_prefixes = ["songs/"]
}

resource "google_storage_bucket" "lake" {
  #checkov:skip=CKV_GCP_62:who wrote what is in Cloud Audit Logs (modules/platform/audit.tf), which those who write cannot change
  name                        = "${var.name}-lake"
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.protect
  labels                      = var.labels

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }

  # Hours are read when they are loaded, and again only by a rebuild.
  lifecycle_rule {
    condition {
      age                   = var.cold_after_days
      matches_prefix        = ["events/"]
      matches_storage_class = ["STANDARD"]
    }
    action {
      type          = "SetStorageClass"
      storage_class = "NEARLINE"
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.events_days == null ? [] : [var.events_days]
    content {
      condition {
        age            = lifecycle_rule.value
        matches_prefix = ["events/"]
      }
      action {
        type = "Delete"
      }
    }
  }

  lifecycle_rule {
    condition {
      age            = var.dead_letters_days
      matches_prefix = ["_dead_letters/"]
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 7
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age = 2
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }
}

# Logs of old attempts, dumps of the database, checkpoints of jobs: kept until somebody deletes them.
resource "google_storage_bucket" "state" {
  #checkov:skip=CKV_GCP_62:who wrote what is in Cloud Audit Logs (modules/platform/audit.tf), which those who write cannot change
  name                        = "${var.name}-state"
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.protect
  labels                      = var.labels

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 30
      num_newer_versions         = 3
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age = 2
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }
}
