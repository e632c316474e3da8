mock_provider "google" {
  override_during = plan

  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  mock_resource "google_service_account" {
    defaults = { email = "streamify-part@streamify-test.iam.gserviceaccount.com", member = "serviceAccount:streamify-part@streamify-test.iam.gserviceaccount.com", name = "projects/streamify-test/serviceAccounts/streamify-part@streamify-test.iam.gserviceaccount.com" }
  }
  mock_resource "google_sql_database_instance" {
    defaults = { private_ip_address = "10.20.16.3", connection_name = "streamify-test:europe-west1:streamify", server_ca_cert = [{ cert = "-----BEGIN CERTIFICATE-----" }] }
  }
  mock_resource "google_bigquery_connection" {
    defaults = { cloud_resource = { service_account_id = "bqcx@gcp-sa-bigquery-condel.iam.gserviceaccount.com" } }
  }
}

variables {
  project_id        = "streamify-test"
  environment       = "dev"
  region            = "europe-west1"
  image             = "europe-west1-docker.pkg.dev/streamify-test/streamify/streamify:v1"
  github_repository = "acme/streamify"
  database_password = "a-password-of-32-characters-long"
}

run "parts_are_told_where_everything_is" {
  command = plan

  assert {
    condition     = alltrue([for part in ["web", "scheduler", "worker", "generator", "stream"] : output.environment[part].KAFKA_BOOTSTRAP_SERVERS == "bootstrap.streamify.europe-west1.managedkafka.streamify-test.cloud.goog:9092"])
    error_message = "Kafka"
  }
  assert {
    condition     = output.environment.worker.STREAMIFY_LAKE_URL == "gs://streamify-test-streamify-lake" && output.environment.worker.STREAMIFY_WAREHOUSE_URL == "bigquery:streamify-test?location=europe-west1&max_bytes_billed=200GB"
    error_message = "lake and warehouse"
  }
  assert {
    condition     = output.environment.generator.STREAMIFY_QUEUES == "generator" && output.environment.stream.STREAMIFY_QUEUES == "stream" && output.environment.worker.STREAMIFY_QUEUES == "default"
    error_message = "each takes its own tasks"
  }
  assert {
    condition     = output.web_url == "https://streamify-web-123456789012.europe-west1.run.app" && output.environment.worker.STREAMIFY_PUBLIC_URL == output.web_url
    error_message = "links in notices lead to the pages"
  }
  assert {
    condition     = output.environment.web.STREAMIFY_ANONYMOUS == "none"
    error_message = "nobody looks without a login"
  }
}

run "no_password_in_environment_or_state" {
  command = plan

  assert {
    condition     = !strcontains(jsonencode(output.environment), "a-password") && google_secret_manager_secret_version.database_url.secret_data_wo == null
    error_message = "it is written through"
  }
  assert {
    condition     = output.environment.worker.DATABASE_URL_FILE == "/run/secrets/database-url/url"
    error_message = "nodes read it from a file"
  }
}

run "tables_and_topics_are_those_of_the_schemas" {
  command = plan

  assert {
    condition     = toset(keys(local.events)) == toset(["listen_events", "page_view_events", "auth_events", "status_change_events"])
    error_message = "four kinds of events"
  }
  assert {
    condition     = length(local.events.listen_events) == 20 && local.events.listen_events[0] == { name = "artist", type = "string" }
    error_message = "with their fields"
  }
}

run "the_rules_of_prometheus_are_set" {
  command = plan

  assert {
    condition     = length(local.rules) >= 10 && length(setsubtract(local.rules[*].alert, output.alerts)) == 0
    error_message = "each rule of deploy/prometheus/alerts.yaml"
  }
}

run "a_part_can_be_changed_alone" {
  command = plan

  variables {
    size  = "medium"
    parts = { worker = { instances = 4 } }
  }
  assert {
    condition     = local.parts.worker.instances == 4 && local.parts.worker.cpu == "2" && local.parts.scheduler.instances == 2
    error_message = "the rest is the size's"
  }
}

run "small_is_without_and_medium_with_a_standby" {
  command = plan

  assert {
    condition     = !local.sizes.small.database.highly_available && local.sizes.medium.database.highly_available && local.sizes.large.database.highly_available
    error_message = "a standby costs as much as the database"
  }
  assert {
    condition     = alltrue([for size in local.sizes : size.kafka.vcpus >= 3 && size.parts.generator.instances == 1])
    error_message = "a broker a zone, one generator"
  }
}

run "more_nodes_than_connections_are_pointed_out" {
  command = plan

  variables {
    parts = { worker = { instances = 20 } }
  }
  expect_failures = [check.connections]
}

run "changes_of_buckets_and_reads_of_secrets_are_logged" {
  command = plan

  assert {
    condition     = one(google_project_iam_audit_config.this["storage.googleapis.com"].audit_log_config).log_type == "DATA_WRITE" && length(google_project_iam_audit_config.this["secretmanager.googleapis.com"].audit_log_config) == 2
    error_message = "who did it can be found out"
  }
}

run "production_is_protected" {
  command = plan

  variables {
    environment  = "prod"
    protect      = false
    alert_emails = ["ops@acme.example"]
  }
  expect_failures = [var.protect]
}

run "production_tells_somebody" {
  command = plan

  variables {
    environment = "prod"
  }
  expect_failures = [var.alert_emails]
}

run "mail_needs_its_port" {
  command = plan

  variables {
    smtp_from = "Streamify <alerts@acme.example>"
  }
  expect_failures = [var.smtp_from]
}

run "a_mail_server_adds_one_secret_for_one_part" {
  command = plan

  variables {
    smtp_from      = "Streamify <alerts@acme.example>"
    internet_ports = ["443", "587"]
  }
  assert {
    condition     = join(",", keys(local.secret_environment)) == "scheduler" && output.environment.scheduler.STREAMIFY_SMTP_FROM == "Streamify <alerts@acme.example>"
    error_message = "the scheduler sends notices"
  }
}

run "behind_the_proxy_monitoring_is_not_let_in" {
  command = plan

  variables {
    iap = true
  }
  assert {
    condition     = length(local.uptime_user) == 0
    error_message = "it could not log in"
  }
}
