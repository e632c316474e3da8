mock_provider "google" {}

variables {
  project_id        = "streamify-test"
  name              = "streamify-test"
  environment       = "dev"
  github_repository = "acme/streamify"
}

run "each_part_is_somebody_of_its_own" {
  command = plan

  assert {
    condition     = toset(keys(google_service_account.this)) == toset(["web", "scheduler", "worker", "generator", "stream", "ci", "plan", "push"])
    error_message = "an account a role"
  }
  assert {
    condition     = length(distinct([for account in google_service_account.this : account.account_id])) == 8
    error_message = "none shared"
  }
}

run "parts_have_what_they_need_and_no_more" {
  command = plan

  assert {
    condition     = local.project_roles.generator == ["roles/managedkafka.client"] && local.project_roles.stream == ["roles/managedkafka.client"]
    error_message = "generator and stream speak Kafka, nothing else on the project"
  }
  assert {
    condition     = !contains(local.project_roles.web, "roles/managedkafka.client") && !contains(local.project_roles.scheduler, "roles/bigquery.jobUser")
    error_message = "pages do not speak Kafka, the scheduler asks no warehouse"
  }
  assert {
    condition     = alltrue([for grant in google_project_iam_member.this : !contains(["roles/owner", "roles/editor", "roles/viewer"], grant.role)])
    error_message = "no basic role"
  }
  assert {
    condition     = alltrue([for key, grant in google_project_iam_member.this : !endswith(lower(grant.role), "admin") if !startswith(key, "ci ")])
    error_message = "nobody but CI administers anything"
  }
  assert {
    condition     = !strcontains(jsonencode(local.project_roles), "iam.serviceAccountKeyAdmin") && !strcontains(jsonencode(local.project_roles), "TokenCreator")
    error_message = "nobody makes keys or tokens of others"
  }
}

run "only_the_named_jobs_of_the_repository_stand_for_an_account" {
  command = plan

  override_resource {
    target          = google_iam_workload_identity_pool.github
    values          = { name = "projects/1/locations/global/workloadIdentityPools/p" }
    override_during = plan
  }
  assert {
    condition     = google_iam_workload_identity_pool_provider.github.attribute_condition == "assertion.repository == 'acme/streamify'"
    error_message = "other repositories are refused"
  }
  assert {
    condition     = google_service_account_iam_member.github["ci"].member == "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/repo:acme/streamify:environment:dev"
    error_message = "deployment: jobs of this environment alone"
  }
  assert {
    condition     = endswith(google_service_account_iam_member.github["plan"].member, "/subject/repo:acme/streamify:environment:plan-dev")
    error_message = "plans have an environment of their own, and with it an account that only reads"
  }
  assert {
    condition     = alltrue([for binding in google_service_account_iam_member.github : !strcontains(binding.member, "*") && startswith(binding.member, "principal://")])
    error_message = "exact subjects, no set of them"
  }
}

run "deployment_alone_administers_nothing" {
  command = plan

  assert {
    condition     = join(",", local.project_roles.ci) == "roles/run.developer" && length(google_project_iam_member.ci_grants) == 0
    error_message = "new revisions only"
  }
  assert {
    condition     = toset(keys(google_service_account_iam_member.ci_acts_as)) == toset(["web", "scheduler", "worker", "generator", "stream"])
    error_message = "CI starts things under the accounts of the parts, not under its own"
  }
}

run "ci_that_applies_cannot_grant_itself_more" {
  command = plan

  variables {
    ci_applies = true
  }
  assert {
    condition     = strcontains(google_project_iam_member.ci_grants[0].condition[0].expression, "hasOnly(['roles/bigquery.jobUser', 'roles/managedkafka.client', 'roles/monitoring.metricWriter'])")
    error_message = "only what the parts have may be granted"
  }
}

run "a_repository_with_a_wildcard_is_refused" {
  command = plan

  variables {
    github_repository = "acme/*"
  }
  expect_failures = [var.github_repository]
}
