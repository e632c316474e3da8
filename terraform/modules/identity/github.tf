# Workload identity federation: GitHub's tokens stand for accounts of ours; nothing secret lies at GitHub.

resource "google_iam_workload_identity_pool" "github" {
  workload_identity_pool_id = "${var.name}-github"
  display_name              = "GitHub"
  description               = "Workflows of ${var.github_repository}"
}

resource "google_iam_workload_identity_pool_provider" "github" {
  #checkov:skip=CKV_GCP_125:the condition names the repository exactly (a variable, which the check does not see), and each account is bound to one exact subject
  workload_identity_pool_id          = google_iam_workload_identity_pool.github.workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub Actions"
  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
  }
  attribute_condition = "assertion.repository == '${var.github_repository}'"

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

locals {
  # The subject of a job names its environment, which is where GitHub keeps reviewers and branch rules.
  subjects = {
    for role, environment in { ci = var.environment, plan = "plan-${var.environment}", push = "registry" } :
    role => "repo:${var.github_repository}:environment:${environment}"
  }
}

resource "google_service_account_iam_member" "github" {
  for_each = local.subjects

  service_account_id = google_service_account.this[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principal://iam.googleapis.com/${google_iam_workload_identity_pool.github.name}/subject/${each.value}"
}
