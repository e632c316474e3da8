# What deployment may do.

locals {
  # New revisions of what exists.
  deploy_roles = ["roles/run.developer"]

  # Everything that this configuration makes, service by service; never owner or editor.
  apply_roles = [
    "roles/artifactregistry.admin",
    "roles/bigquery.connectionAdmin",
    "roles/bigquery.dataOwner",
    "roles/cloudsql.admin",
    "roles/compute.networkAdmin",
    "roles/compute.securityAdmin",
    "roles/dns.admin",
    "roles/iam.serviceAccountAdmin",
    "roles/iam.workloadIdentityPoolAdmin",
    "roles/iap.admin",
    "roles/logging.configWriter",
    "roles/managedkafka.admin",
    "roles/monitoring.editor",
    "roles/run.admin",
    "roles/secretmanager.admin",
    "roles/serviceusage.serviceUsageAdmin",
    "roles/storage.admin",
  ]

  plan_roles = [
    "roles/artifactregistry.reader",
    "roles/bigquery.metadataViewer",
    "roles/cloudsql.viewer",
    "roles/compute.networkViewer",
    "roles/dns.reader",
    "roles/iam.securityReviewer",
    "roles/iam.workloadIdentityPoolViewer",
    "roles/logging.viewer",
    "roles/managedkafka.viewer",
    "roles/monitoring.viewer",
    "roles/run.viewer",
    "roles/secretmanager.viewer",
    "roles/serviceusage.serviceUsageViewer",
  ]

  # The only roles on the project that CI may give or take away.
  grantable = sort(distinct(flatten([for role in local.runtime : local.project_roles[role]])))
}

resource "google_project_iam_member" "ci_grants" {
  count = var.ci_applies ? 1 : 0

  project = var.project_id
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.this["ci"].member

  condition {
    title       = "grants of the running parts only"
    description = "CI cannot make itself or anybody else more than what the parts of Streamify have"
    expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([${join(", ", [for role in local.grantable : "'${role}'"])}])"
  }
}

# The state that plans read and applications of plans write.
resource "google_storage_bucket_iam_member" "terraform_state" {
  for_each = var.terraform_state_bucket == null ? {} : { ci = "roles/storage.objectUser", plan = "roles/storage.objectViewer" }

  bucket = var.terraform_state_bucket
  role   = each.value
  member = google_service_account.this[each.key].member
}
