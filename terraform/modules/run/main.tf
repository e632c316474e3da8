# What runs: one image, five parts. Pages and API are a service; the others answer nobody and are worker pools.

locals {
  arguments = {
    web       = ["node", "--no-scheduler", "--no-worker"]
    scheduler = ["node", "--no-web", "--no-worker"]
    worker    = ["node", "--no-web", "--no-scheduler"]
    generator = ["node", "--no-web", "--no-scheduler", "--no-warehouse"]
    stream    = ["node", "--no-web", "--no-scheduler", "--no-warehouse"]
  }
  pools = ["scheduler", "worker", "generator", "stream"]
  # Metrics of each node tell what the database knows of all parts, so one collector is enough.
  collected = ["scheduler"]

  collector_config = templatefile("${path.module}/collector.yaml", { region = var.region, name = var.name })
}

resource "google_cloud_run_v2_service" "web" {
  name                 = "${var.name}-web"
  location             = var.region
  description          = "Pages and API"
  labels               = var.labels
  deletion_protection  = var.protect
  ingress              = var.ingress
  iap_enabled          = var.iap
  invoker_iam_disabled = false

  scaling {
    min_instance_count = var.parts.web.instances
  }

  template {
    service_account                  = var.service_accounts["web"]
    labels                           = var.labels
    timeout                          = "3600s" # logs of a running task are one long answer
    max_instance_request_concurrency = 200
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"

    scaling {
      max_instance_count = var.web_max_instances
    }

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
      args  = local.arguments["web"]

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = var.parts.web.cpu, memory = var.parts.web.memory }
        cpu_idle          = false # it keeps its heartbeat between requests
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = var.environment["web"]
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = lookup(var.secret_environment, "web", {})
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

      startup_probe {
        period_seconds    = 3
        timeout_seconds   = 2
        failure_threshold = 40
        http_get {
          path = "/api/v2/version"
          port = 8080
        }
      }

      # Is the process alive? Not whether the database is: a restart would not bring that back.
      liveness_probe {
        period_seconds    = 20
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/api/v2/version"
          port = 8080
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

  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
  }
}
