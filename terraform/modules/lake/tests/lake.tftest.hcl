mock_provider "google" {}

variables {
  name     = "streamify-test"
  location = "europe-west1"
  readers  = { stream = "serviceAccount:s@p.iam.gserviceaccount.com", worker = "serviceAccount:w@p.iam.gserviceaccount.com" }
  writers  = { stream = "serviceAccount:s@p.iam.gserviceaccount.com", worker = "serviceAccount:w@p.iam.gserviceaccount.com" }
}

run "buckets_are_closed_to_the_public_and_keep_versions" {
  command = plan

  assert {
    condition     = alltrue([for bucket in [google_storage_bucket.lake, google_storage_bucket.state] : bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced" && bucket.versioning[0].enabled])
    error_message = "uniform access, no public access, versions"
  }
  assert {
    condition     = alltrue([for bucket in [google_storage_bucket.lake, google_storage_bucket.state] : bucket.soft_delete_policy[0].retention_duration_seconds == 604800])
    error_message = "deleted objects can be restored for a week"
  }
  assert {
    condition     = google_storage_bucket.lake.force_destroy == false && google_storage_bucket.state.force_destroy == false
    error_message = "a bucket that holds something is not deleted"
  }
}

run "no_rule_ever_deletes_what_says_which_files_exist" {
  command = plan

  variables {
    events_days = 400
  }
  # The system this replaces deleted the whole bucket's content after 30 days, checkpoints too.
  assert {
    condition = alltrue([
      for rule in google_storage_bucket.lake.lifecycle_rule :
      one(rule.action).type != "Delete" || coalesce(one(rule.condition).days_since_noncurrent_time, 0) > 0
      || contains(["events/", "_dead_letters/"], join(",", coalesce(one(rule.condition).matches_prefix, [""])))
    ])
    error_message = "live objects are deleted only below events/ and _dead_letters/"
  }
  assert {
    condition = length([
      for rule in google_storage_bucket.lake.lifecycle_rule : rule if one(rule.action).type == "Delete"
    ]) == 3
    error_message = "events, dead letters, noncurrent versions"
  }
  assert {
    condition = alltrue([
      for rule in google_storage_bucket.state.lifecycle_rule :
      one(rule.action).type != "Delete" || coalesce(one(rule.condition).days_since_noncurrent_time, 0) > 0
    ])
    error_message = "nothing live is deleted from the state bucket"
  }
}

run "events_are_kept_unless_somebody_says_otherwise" {
  command = plan

  assert {
    condition     = length([for rule in google_storage_bucket.lake.lifecycle_rule : rule if one(rule.action).type == "Delete" && contains(coalesce(one(rule.condition).matches_prefix, []), "events/")]) == 0
    error_message = "no deletion of events by default"
  }
}

run "writers_write_below_their_own_folders" {
  command = plan

  assert {
    condition     = google_storage_bucket_iam_member.lake_writers["worker"].condition[0].expression == "resource.name.startsWith('projects/_/buckets/streamify-test-lake/objects/songs/')"
    error_message = "the worker exports songs, and never touches events"
  }
  assert {
    condition     = !strcontains(google_storage_bucket_iam_member.lake_writers["stream"].condition[0].expression, "songs/") && strcontains(google_storage_bucket_iam_member.lake_writers["stream"].condition[0].expression, "/objects/_log/")
    error_message = "the streaming job writes events and its log, not songs"
  }
  assert {
    condition     = alltrue([for grant in google_storage_bucket_iam_member.lake_readers : grant.role == "roles/storage.objectViewer"])
    error_message = "readers read"
  }
}

run "rights_on_the_bucket_itself_are_refused" {
  command = plan

  variables {
    state_access = { worker = { role = "roles/storage.admin", member = "serviceAccount:w@p.iam.gserviceaccount.com" } }
  }
  expect_failures = [var.state_access]
}

run "events_that_would_go_before_nearline_pays_off_are_refused" {
  command = plan

  variables {
    events_days = 70
  }
  expect_failures = [var.events_days]
}
