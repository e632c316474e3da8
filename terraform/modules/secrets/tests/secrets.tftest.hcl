mock_provider "google" {}

variables {
  name    = "streamify-test"
  region  = "europe-west1"
  secrets = { database-url = ["web", "worker"], smtp-url = ["scheduler"] }
  members = { web = "serviceAccount:web@p.iam.gserviceaccount.com", worker = "serviceAccount:worker@p.iam.gserviceaccount.com", scheduler = "serviceAccount:scheduler@p.iam.gserviceaccount.com" }
}

run "each_secret_is_read_by_those_who_need_it" {
  command = plan

  assert {
    condition     = toset(keys(google_secret_manager_secret_iam_member.this)) == toset(["database-url web", "database-url worker", "smtp-url scheduler"])
    error_message = "no other grants"
  }
  assert {
    condition     = alltrue([for grant in google_secret_manager_secret_iam_member.this : grant.role == "roles/secretmanager.secretAccessor"])
    error_message = "they read; nobody of them writes"
  }
}

run "secrets_stay_in_the_region_and_survive_mistakes" {
  command = plan

  assert {
    condition     = alltrue([for secret in google_secret_manager_secret.this : one(secret.replication[0].user_managed[0].replicas[*].location) == "europe-west1"])
    error_message = "one region"
  }
  assert {
    condition     = alltrue([for secret in google_secret_manager_secret.this : secret.deletion_protection && secret.version_destroy_ttl == "604800s"])
    error_message = "a week to bring a version back"
  }
}

run "secrets_for_everybody_are_refused" {
  command = plan

  variables {
    members = { web = "allUsers", worker = "allUsers", scheduler = "allUsers" }
  }
  expect_failures = [var.members]
}
