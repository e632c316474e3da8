# Who changed what in the buckets, and who read a secret. Reads of the lake are not logged: there are thousands an hour, all by the same two accounts.

locals {
  audited = {
    "secretmanager.googleapis.com" = ["DATA_READ", "DATA_WRITE"]
    "storage.googleapis.com"       = ["DATA_WRITE"]
  }
}

resource "google_project_iam_audit_config" "this" {
  for_each = local.audited

  project = var.project_id
  service = each.key

  dynamic "audit_log_config" {
    for_each = toset(each.value)
    content {
      log_type = audit_log_config.value
    }
  }
}
