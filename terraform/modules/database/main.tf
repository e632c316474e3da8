# Cloud SQL for PostgreSQL 17: a private address, encrypted connections, point-in-time recovery.

resource "google_sql_database_instance" "this" {
  #checkov:skip=CKV_GCP_6:ENCRYPTED_ONLY refuses plain connections; the other mode that passes wants a client certificate, which is a key file for each node
  #checkov:skip=CKV_GCP_79:17 is the version that the store is tested on; it is raised together with the tests
  #checkov:skip=CKV2_GCP_13:a line for each of thousands of statements a second would hide the rest; Query Insights has their times
  name                = var.name
  region              = var.region
  database_version    = "POSTGRES_17"
  deletion_protection = var.protect

  settings {
    tier                        = var.tier
    edition                     = "ENTERPRISE"
    availability_type           = var.highly_available ? "REGIONAL" : "ZONAL"
    disk_type                   = "PD_SSD"
    disk_size                   = var.disk_gib
    disk_autoresize             = true
    disk_autoresize_limit       = var.disk_gib_limit
    deletion_protection_enabled = var.protect
    retain_backups_on_delete    = var.protect
    user_labels                 = var.labels

    ip_configuration {
      ipv4_enabled                                  = false
      private_network                               = var.network
      enable_private_path_for_google_cloud_services = false
      ssl_mode                                      = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "02:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = var.backups
        retention_unit   = "COUNT"
      }
    }

    maintenance_window {
      day          = 7
      hour         = 3
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled  = true
      record_application_tags = true
      record_client_address   = false
      query_string_length     = 1024
    }

    password_validation_policy {
      enable_password_policy      = true
      min_length                  = 24
      complexity                  = "COMPLEXITY_DEFAULT"
      disallow_username_substring = true
    }

    database_flags {
      name  = "cloudsql.iam_authentication"
      value = "on"
    }
    database_flags {
      name  = "cloudsql.enable_pgaudit"
      value = "on"
    }
    database_flags {
      name  = "pgaudit.log"
      value = "ddl,role"
    }
    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }
    database_flags {
      name  = "log_connections"
      value = "on"
    }
    database_flags {
      name  = "log_disconnections"
      value = "on"
    }
    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }
    database_flags {
      name  = "log_hostname"
      value = "on"
    }
    database_flags {
      name  = "log_min_messages"
      value = "warning"
    }
    database_flags {
      name  = "log_min_error_statement"
      value = "error"
    }
    database_flags {
      name  = "log_statement"
      value = "ddl"
    }
    database_flags {
      name  = "log_min_duration_statement"
      value = "-1"
    }
    database_flags {
      name  = "log_temp_files"
      value = "0"
    }
    database_flags {
      name  = "idle_in_transaction_session_timeout"
      value = "60000"
    }
    database_flags {
      name  = "max_connections"
      value = tostring(var.max_connections)
    }
  }

  lifecycle {
    precondition {
      condition     = var.services_connection != ""
      error_message = "A private address needs the network's private service access."
    }
  }
}

resource "google_sql_database" "this" {
  name            = "streamify"
  instance        = google_sql_database_instance.this.name
  deletion_policy = var.protect ? "ABANDON" : "DELETE"
}

# The password is written through: it is in no state and no plan, and is sent only when its version changes. Without one, "-" stands in: the
# instance's policy refuses it, so that a user cannot come to be with a password that is no secret.
resource "google_sql_user" "app" {
  name                = "streamify"
  instance            = google_sql_database_instance.this.name
  password_wo         = coalesce(var.password, "-")
  password_wo_version = var.password_version
  deletion_policy     = "ABANDON"
}

# People log in as themselves, with a token instead of a password, and read.
resource "google_sql_user" "people" {
  for_each = var.readers

  name           = each.value
  instance       = google_sql_database_instance.this.name
  type           = "CLOUD_IAM_USER"
  database_roles = ["pg_read_all_data"]
}
