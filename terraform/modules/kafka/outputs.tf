output "bootstrap_servers" {
  description = "KAFKA_BOOTSTRAP_SERVERS"
  value       = "bootstrap.${google_managed_kafka_cluster.this.cluster_id}.${var.region}.managedkafka.${var.project_id}.cloud.goog:9092"
}

output "cluster_id" {
  description = "The cluster's name"
  value       = google_managed_kafka_cluster.this.cluster_id
}

output "group" {
  description = "Consumer group of the streaming job"
  value       = var.group
}

output "protected" {
  description = "Whether cluster and topics refuse to be deleted"
  value       = google_managed_kafka_cluster.this.deletion_policy == "PREVENT" && alltrue([for topic in google_managed_kafka_topic.this : topic.deletion_policy == "PREVENT"])
}
