# Who the parts are: a service account each, without keys, with no more than its work needs. Rights on single resources (buckets, datasets,
# topics, secrets) are given where those resources are made.

locals {
  # Rights on the project that cannot be narrower: starting a query, opening a Kafka connection, writing metrics.
  project_roles = {
    web       = ["roles/bigquery.jobUser"]
    scheduler = ["roles/monitoring.metricWriter"]
    worker    = ["roles/bigquery.jobUser", "roles/managedkafka.client"]
    generator = ["roles/managedkafka.client"]
    stream    = ["roles/managedkafka.client"]
    ci        = var.ci_applies ? concat(local.deploy_roles, local.apply_roles) : local.deploy_roles
    plan      = local.plan_roles
    push      = [] # its right is on the registry
  }
  runtime = ["web", "scheduler", "worker", "generator", "stream"]
  grants = merge([
    for role, grants in local.project_roles : { for grant in grants : "${role} ${grant}" => { role = role, grant = grant } }
  ]...)

  about = {
    web       = "Pages and API"
    scheduler = "Scheduler"
    worker    = "Tasks"
    generator = "Generator of events"
    stream    = "Kafka to the lake"
    ci        = "Deployment from GitHub: jobs of the environment ${var.environment} only"
    plan      = "Plans of pull requests: reads only"
    push      = "Images of the main branch into the registry"
  }
}

resource "google_service_account" "this" {
  for_each = local.project_roles

  account_id   = "${var.name}-${each.key}"
  display_name = local.about[each.key]
  description  = "No keys: attached to what runs, or lent to GitHub by workload identity federation"
}

resource "google_project_iam_member" "this" {
  for_each = local.grants

  project = var.project_id
  role    = each.value.grant
  member  = google_service_account.this[each.value.role].member
}

# CI starts what runs under these accounts; under no others.
resource "google_service_account_iam_member" "ci_acts_as" {
  for_each = toset(local.runtime)

  service_account_id = google_service_account.this[each.value].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.this["ci"].member
}
