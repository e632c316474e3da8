output "network" {
  description = "The network's id"
  value       = google_compute_network.this.id
}

output "subnets" {
  description = "Id of each subnet"
  value       = { for name, subnet in google_compute_subnetwork.this : name => subnet.id }
}

output "app_tag" {
  description = "Network tag that the firewall knows applications by"
  value       = var.app_tag
}

output "services_connection" {
  description = "What Cloud SQL must wait for"
  value       = google_service_networking_connection.services.id
}
