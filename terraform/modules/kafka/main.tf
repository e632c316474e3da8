# Managed Service for Apache Kafka: three brokers in three zones, TLS and SASL only, reachable from the network's subnet only.

resource "google_managed_kafka_cluster" "this" {
  cluster_id      = var.name
  location        = var.region
  labels          = var.labels
  deletion_policy = var.protect ? "PREVENT" : "DELETE"

  capacity_config {
    vcpu_count   = var.vcpus
    memory_bytes = var.vcpus * var.memory_gib_per_vcpu * 1024 * 1024 * 1024
  }

  gcp_config {
    access_config {
      network_configs {
        subnet = var.subnet
      }
    }
  }

  rebalance_config {
    mode = "AUTO_REBALANCE_ON_SCALE_UP"
  }
}

locals {
  # The generator's own topics: its plan, by which it resumes, and up to which instant each partition is complete.
  own_topics = {
    generator_plan = { partitions = 1, compacted = true }
    watermarks     = { partitions = 1, compacted = false }
  }
  topics = merge({ for topic in var.topics : topic => { partitions = var.partitions, compacted = false } }, local.own_topics)
}

resource "google_managed_kafka_topic" "this" {
  for_each = local.topics

  cluster            = google_managed_kafka_cluster.this.cluster_id
  location           = var.region
  topic_id           = each.key
  partition_count    = each.value.partitions
  replication_factor = 3
  deletion_policy    = var.protect ? "PREVENT" : "DELETE"
  configs = {
    "cleanup.policy"      = each.value.compacted ? "compact" : "delete"
    "min.insync.replicas" = "2"
    # Records carry the time of their events, which may be long ago: retention by time looks at that time.
    "retention.ms" = var.retention_days == null || each.value.compacted ? "-1" : tostring(var.retention_days * 24 * 60 * 60 * 1000)
  }
}
