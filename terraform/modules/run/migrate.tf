# The schema, before anything that needs it: `gcloud run jobs execute <name>-migrate --wait`.

resource "google_cloud_run_v2_job" "migrate" {
  name                = "${var.name}-migrate"
  location            = var.region
  labels              = var.labels
  deletion_protection = var.protect

  template {
    task_count = 1

    template {
      service_account = var.service_accounts["scheduler"]
      timeout         = "1800s"
      max_retries     = 1

      vpc_access {
        egress = "ALL_TRAFFIC"
        network_interfaces {
          network    = var.network
          subnetwork = var.subnet
          tags       = [var.network_tag]
        }
      }

      containers {
        image = var.image
        args  = ["migrate"]

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }

        dynamic "env" {
          for_each = var.environment["scheduler"]
          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "volume_mounts" {
          for_each = var.secret_files
          content {
            name       = volume_mounts.key
            mount_path = "/run/secrets/${volume_mounts.key}"
          }
        }
      }

      dynamic "volumes" {
        for_each = var.secret_files
        content {
          name = volumes.key
          secret {
            secret       = volumes.value.secret
            default_mode = 292
            items {
              version = "latest"
              path    = volumes.value.file
            }
          }
        }
      }
    }
  }
}
