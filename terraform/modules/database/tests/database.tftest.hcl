mock_provider "google" {}

variables {
  name                = "streamify-test"
  region              = "europe-west1"
  network             = "projects/streamify-test/global/networks/streamify"
  services_connection = "connected"
  tier                = "db-custom-2-7680"
  password            = "a-password-of-32-characters-long"
}

run "the_database_has_no_public_address_and_no_plain_connection" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].ip_configuration[0].ipv4_enabled == false && length(google_sql_database_instance.this.settings[0].ip_configuration[0].authorized_networks) == 0
    error_message = "no public address"
  }
  assert {
    condition     = google_sql_database_instance.this.settings[0].ip_configuration[0].private_network == var.network
    error_message = "a private one in our network"
  }
  assert {
    condition     = google_sql_database_instance.this.settings[0].ip_configuration[0].ssl_mode == "ENCRYPTED_ONLY"
    error_message = "encrypted"
  }
}

run "it_can_be_brought_back_to_any_moment_of_the_last_week" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.settings[0].backup_configuration[0].enabled && google_sql_database_instance.this.settings[0].backup_configuration[0].point_in_time_recovery_enabled && google_sql_database_instance.this.settings[0].backup_configuration[0].transaction_log_retention_days == 7
    error_message = "backups and the log between them"
  }
}

run "it_is_protected_twice" {
  command = plan

  assert {
    condition     = google_sql_database_instance.this.deletion_protection && google_sql_database_instance.this.settings[0].deletion_protection_enabled
    error_message = "against Terraform, and against the console"
  }
  assert {
    condition     = google_sql_database_instance.this.settings[0].availability_type == "REGIONAL"
    error_message = "a standby by default"
  }
}

run "postgres_17_with_logins_of_iam" {
  command = plan

  variables {
    readers = ["ana@acme.example"]
  }
  assert {
    condition     = google_sql_database_instance.this.database_version == "POSTGRES_17"
    error_message = "version"
  }
  assert {
    condition     = one([for flag in google_sql_database_instance.this.settings[0].database_flags : flag.value if flag.name == "cloudsql.iam_authentication"]) == "on"
    error_message = "IAM"
  }
  assert {
    condition     = google_sql_user.people["ana@acme.example"].type == "CLOUD_IAM_USER" && join(",", google_sql_user.people["ana@acme.example"].database_roles) == "pg_read_all_data"
    error_message = "people read, as themselves"
  }
}

run "the_password_is_in_no_state" {
  command = plan

  assert {
    condition     = google_sql_user.app.password == null && google_sql_user.app.password_wo == null
    error_message = "written through, kept nowhere"
  }
}

run "a_user_without_a_password_is_refused_by_the_instance" {
  command = plan

  variables {
    password = null
  }
  assert {
    condition     = google_sql_database_instance.this.settings[0].password_validation_policy[0].enable_password_policy && google_sql_database_instance.this.settings[0].password_validation_policy[0].min_length > length("-")
    error_message = "what stands in for a missing password is too short for the policy"
  }
}

run "a_password_that_would_break_the_url_is_refused" {
  command = plan

  variables {
    password = "p@ss/word:that-is-long-enough-but"
  }
  expect_failures = [var.password]
}

run "a_disk_that_grows_without_a_limit_is_refused" {
  command = plan

  variables {
    disk_gib_limit = 0
  }
  expect_failures = [var.disk_gib_limit]
}
