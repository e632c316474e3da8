# Scheduler, workers, generator and streaming job. They have no address; how many there are is said here, never by load.

resource "google_cloud_run_v2_worker_pool" "this" {
  for_each = toset(local.pools)

  name                = "${var.name}-${each.value}"
  location            = var.region
  description         = "streamify ${join(" ", local.arguments[each.value])}"
  labels              = var.labels
  deletion_protection = var.protect

  scaling {
    scaling_mode          = "MANUAL"
    manual_instance_count = var.parts[each.value].instances
  }

  template {
    service_account = var.service_accounts[each.value]
    labels          = var.labels

    vpc_access {
      egress = "ALL_TRAFFIC"
      network_interfaces {
        network    = var.network
        subnetwork = var.subnet
        tags       = [var.network_tag]
      }
    }

    containers {
      name  = "streamify"
      image = var.image
      args  = local.arguments[each.value]

      resources {
        limits = { cpu = var.parts[each.value].cpu, memory = var.parts[each.value].memory }
      }

      dynamic "env" {
        for_each = var.environment[each.value]
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = lookup(var.secret_environment, each.value, {})
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value
              version = "latest"
            }
          }
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

    dynamic "containers" {
      for_each = contains(local.collected, each.value) ? ["collector"] : []
      content {
        name  = containers.value
        image = var.collector_image
        args  = ["--config=env:COLLECTOR_CONFIG"]

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }

        env {
          name  = "COLLECTOR_CONFIG"
          value = local.collector_config
        }
      }
    }

    dynamic "volumes" {
      for_each = var.secret_files
      content {
        name = volumes.key
        secret {
          secret       = volumes.value.secret
          default_mode = 292 # 0444: the image runs as a user of its own
          items {
            version = "latest"
            path    = volumes.value.file
          }
        }
      }
    }
  }

  instance_splits {
    type    = "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST"
    percent = 100
  }
}
