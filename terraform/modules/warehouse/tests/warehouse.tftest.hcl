mock_provider "google" {}

variables {
  location    = "europe-west1"
  lake_bucket = "streamify-test-lake"
  events = {
    listen_events = [{ name = "song", type = "string" }, { name = "ts", type = "int" }, { name = "userId", type = "int" }, { name = "lat", type = "double" }]
    auth_events   = [{ name = "ts", type = "int" }, { name = "success", type = "boolean" }]
  }
}

run "staging_is_partitioned_by_hour_and_clustered" {
  command = plan

  assert {
    condition     = alltrue([for table in google_bigquery_table.staging : table.time_partitioning[0].type == "HOUR" && table.time_partitioning[0].field == "hour"])
    error_message = "an hour is a partition"
  }
  assert {
    condition     = join(",", google_bigquery_table.staging["listen_events"].clustering) == "userId"
    error_message = "clustered by columns that the table has"
  }
  assert {
    condition = alltrue([
      for table in google_bigquery_table.staging :
      one([for column in jsondecode(table.schema) : column.mode if column.name == "hour"]) == "REQUIRED"
      && length(setsubtract(["_topic_partition", "_topic_offset", "_ingested_at", "_extra"], jsondecode(table.schema)[*].name)) == 0
    ])
    error_message = "each row says its hour and which record it was"
  }
  assert {
    condition     = one([for column in jsondecode(google_bigquery_table.staging["auth_events"].schema) : column.type if column.name == "success"]) == "BOOL"
    error_message = "types of the schemas become types of BigQuery"
  }
}

run "tables_and_datasets_are_protected_by_default" {
  command = plan

  assert {
    condition     = alltrue([for table in google_bigquery_table.staging : table.deletion_protection]) && google_bigquery_table.loads.deletion_protection
    error_message = "tables"
  }
  assert {
    condition     = alltrue([for dataset in google_bigquery_dataset.this : dataset.delete_contents_on_destroy == false])
    error_message = "datasets"
  }
  assert {
    condition     = toset(keys(google_bigquery_dataset.this)) == toset(["raw", "staging", "prod", "quality"])
    error_message = "four datasets"
  }
}

run "expiry_is_said_in_days" {
  command = plan

  variables {
    staging_days = 90
    quality_days = 30
  }
  assert {
    condition     = alltrue([for table in google_bigquery_table.staging : table.time_partitioning[0].expiration_ms == 7776000000])
    error_message = "staging: 90 days in milliseconds"
  }
  assert {
    condition     = google_bigquery_dataset.this["quality"].default_partition_expiration_ms == 2592000000
    error_message = "quality: 30 days in milliseconds"
  }
}

run "the_lake_is_read_by_whole_hours_only" {
  command = plan

  assert {
    condition     = alltrue([for table in google_bigquery_table.raw : table.external_data_configuration[0].hive_partitioning_options[0].require_partition_filter])
    error_message = "a query names its hours"
  }
  assert {
    condition     = endswith(google_bigquery_table.raw["listen_events"].external_data_configuration[0].hive_partitioning_options[0].source_uri_prefix, "/events/listen_events/{year:INTEGER}/{month:INTEGER}/{day:INTEGER}/{hour:INTEGER}")
    error_message = "the year is in the path"
  }
  assert {
    condition     = google_storage_bucket_iam_member.connection.role == "roles/storage.objectViewer"
    error_message = "the connection reads"
  }
}

run "public_data_is_refused" {
  command = plan

  variables {
    access = { prod = [{ name = "all", role = "roles/bigquery.dataViewer", member = "allUsers" }] }
  }
  expect_failures = [var.access]
}

run "rights_to_own_data_are_refused" {
  command = plan

  variables {
    access = { prod = [{ name = "web", role = "roles/bigquery.dataOwner", member = "serviceAccount:w@p.iam.gserviceaccount.com" }] }
  }
  expect_failures = [var.access]
}
