mock_provider "google" {}

variables {
  name   = "streamify"
  region = "europe-west1"
  writer = "serviceAccount:push@p.iam.gserviceaccount.com"
}

run "tags_never_move_and_a_rollback_finds_its_image" {
  command = plan

  assert {
    condition     = google_artifact_registry_repository.this.docker_config[0].immutable_tags
    error_message = "a tag means one image for ever"
  }
  assert {
    condition     = one([for policy in google_artifact_registry_repository.this.cleanup_policies : policy.most_recent_versions[0].keep_count if policy.action == "KEEP"]) == 20
    error_message = "the newest images stay, however old"
  }
  assert {
    condition     = one([for policy in google_artifact_registry_repository.this.cleanup_policies : policy.condition[0].older_than if policy.action == "DELETE"]) == "7776000s"
    error_message = "others go after 90 days"
  }
}

run "one_account_pushes" {
  command = plan

  assert {
    condition     = google_artifact_registry_repository_iam_member.writer.member == var.writer && google_artifact_registry_repository_iam_member.writer.role == "roles/artifactregistry.writer"
    error_message = "it writes, and administers nothing"
  }
  assert {
    condition     = length(google_artifact_registry_repository_iam_member.readers) == 0
    error_message = "nobody else reads by default"
  }
}

run "public_images_are_refused" {
  command = plan

  variables {
    readers = ["allUsers"]
  }
  expect_failures = [var.readers]
}
