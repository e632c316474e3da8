# Who may do what with which topic. Kafka leaves open what has no entry at all, so each kind of resource has one that covers all of it.

locals {
  allowed = {
    for topic in keys(local.topics) : "topic/${topic}" => [
      { principal = var.principals.generator, operations = ["READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"] },
      { principal = var.principals.stream, operations = ["READ", "DESCRIBE"] },
      { principal = var.principals.worker, operations = ["DESCRIBE"] },
    ]
  }
  groups = {
    "consumerGroup/${var.group}" = [
      { principal = var.principals.stream, operations = ["READ", "DESCRIBE"] },
      { principal = var.principals.worker, operations = ["DESCRIBE"] },
    ]
    "consumerGroup/streamify-generator" = [{ principal = var.principals.generator, operations = ["READ", "DESCRIBE"] }]
  }
  cluster = {
    cluster = [
      { principal = var.principals.generator, operations = ["DESCRIBE", "IDEMPOTENT_WRITE"] },
      { principal = var.principals.stream, operations = ["DESCRIBE"] },
      { principal = var.principals.worker, operations = ["DESCRIBE"] },
    ]
  }
  # Topics and groups that somebody makes by hand: to be seen, and otherwise for administrators.
  rest = { for kind in ["allTopics", "allConsumerGroups", "allTransactionalIds"] : kind => [{ principal = var.principals.worker, operations = ["DESCRIBE"] }] }
}

resource "google_managed_kafka_acl" "this" {
  for_each = merge(local.allowed, local.groups, local.cluster, local.rest)

  cluster  = google_managed_kafka_cluster.this.cluster_id
  location = var.region
  acl_id   = each.key

  dynamic "acl_entries" {
    for_each = concat(
      [for admin in var.admins : { principal = admin, operation = "ALL" }],
      flatten([for entry in each.value : [for operation in entry.operations : { principal = entry.principal, operation = operation }]]),
    )
    content {
      principal       = "User:${acl_entries.value.principal}"
      permission_type = "ALLOW"
      operation       = acl_entries.value.operation
      host            = "*"
    }
  }

  depends_on = [google_managed_kafka_topic.this]
}
