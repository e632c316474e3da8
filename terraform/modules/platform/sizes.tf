# Three sizes; README.md says what each costs. `parts` changes single parts.

locals {
  sizes = {
    small = {
      kafka             = { vcpus = 3, memory_gib_per_vcpu = 1 }
      database          = { tier = "db-custom-1-3840", highly_available = false, disk_gib = 20, max_connections = 150 }
      web_max_instances = 2
      parts = {
        web       = { cpu = "1", memory = "512Mi", instances = 1 }
        scheduler = { cpu = "1", memory = "512Mi", instances = 1 }
        worker    = { cpu = "1", memory = "2Gi", instances = 1 }
        generator = { cpu = "1", memory = "512Mi", instances = 1 }
        stream    = { cpu = "1", memory = "1Gi", instances = 1 }
      }
    }
    medium = {
      kafka             = { vcpus = 3, memory_gib_per_vcpu = 4 }
      database          = { tier = "db-custom-2-7680", highly_available = true, disk_gib = 20, max_connections = 250 }
      web_max_instances = 4
      parts = {
        web       = { cpu = "1", memory = "1Gi", instances = 1 }
        scheduler = { cpu = "1", memory = "1Gi", instances = 2 }
        worker    = { cpu = "2", memory = "4Gi", instances = 2 }
        generator = { cpu = "1", memory = "1Gi", instances = 1 }
        stream    = { cpu = "2", memory = "2Gi", instances = 1 }
      }
    }
    large = {
      kafka             = { vcpus = 6, memory_gib_per_vcpu = 4 }
      database          = { tier = "db-custom-4-15360", highly_available = true, disk_gib = 50, max_connections = 400 }
      web_max_instances = 6
      parts = {
        web       = { cpu = "2", memory = "2Gi", instances = 2 }
        scheduler = { cpu = "2", memory = "2Gi", instances = 2 }
        worker    = { cpu = "4", memory = "8Gi", instances = 4 }
        generator = { cpu = "2", memory = "2Gi", instances = 1 }
        # One does the work, the other takes over when its lease ends.
        stream = { cpu = "4", memory = "4Gi", instances = 2 }
      }
    }
  }

  size  = local.sizes[var.size]
  parts = merge(local.size.parts, { for part, values in var.parts : part => merge(local.size.parts[part], { for key, value in values : key => value if value != null }) })

  # Each node takes up to 24 connections; a rollout has two of each for a while.
  nodes = local.size.web_max_instances + sum([for part, values in local.parts : values.instances if part != "web"])
}

check "connections" {
  assert {
    condition     = local.nodes * 24 <= local.size.database.max_connections * 1.5
    error_message = "${local.nodes} nodes may take ${local.nodes * 24} connections, the database has ${local.size.database.max_connections}: take fewer nodes or a larger size."
  }
}
