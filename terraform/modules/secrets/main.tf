# Secret Manager: a secret each, readable by those parts alone that need it.

resource "google_secret_manager_secret" "this" {
  for_each = var.secrets

  secret_id           = "${var.name}-${each.key}"
  labels              = var.labels
  version_destroy_ttl = "604800s" # a version that is destroyed by mistake can be brought back for a week
  deletion_protection = var.protect

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

locals {
  grants = merge([
    for secret, readers in var.secrets : { for reader in readers : "${secret} ${reader}" => { secret = secret, reader = reader } }
  ]...)
}

resource "google_secret_manager_secret_iam_member" "this" {
  for_each = local.grants

  secret_id = google_secret_manager_secret.this[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.members[each.value.reader]
}
