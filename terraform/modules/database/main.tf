# Cloud SQL for PostgreSQL 17: a private address, encrypted connections, point-in-time recovery.

resource "google_sql_database_instance" "this" {
  #checkov:skip=CKV_GCP_55:log_min_messages is warning, Postgres' own default; error would hide what an operator wants to know
  #checkov:skip=CKV_GCP_109:log_min_messages is warning, Postgres' own default; error would hide what an operator wants to know
  #checkov:skip=CKV2_GCP_20:that check is about MySQL; point-in-time recovery is on
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

    dynamic "database_flags" {
      for_each = local.flags
      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    precondition {
      condition     = var.services_connection != ""
      error_message = "A private address needs the network's private service access."
    }
  }
}

locals {
  flags = {
    "cloudsql.iam_authentication"         = "on"
    "cloudsql.enable_pgaudit"             = "on"
    "pgaudit.log"                         = "ddl,role"
    "log_checkpoints"                     = "on"
    "log_connections"                     = "on"
    "log_disconnections"                  = "on"
    "log_lock_waits"                      = "on"
    "log_hostname"                        = "on"
    "log_min_messages"                    = "warning"
    "log_min_error_statement"             = "error"
    "log_statement"                       = "ddl"
    "log_duration"                        = "off"
    "log_min_duration_statement"          = "-1"
    "log_temp_files"                      = "0"
    "idle_in_transaction_session_timeout" = "60000"
    "max_connections"                     = tostring(var.max_connections)
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
