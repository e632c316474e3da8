output "address" {
  description = "Private address of the instance"
  value       = google_sql_database_instance.this.private_ip_address
}

output "connection_name" {
  description = "project:region:instance"
  value       = google_sql_database_instance.this.connection_name
}

output "instance" {
  description = "Name of the instance"
  value       = google_sql_database_instance.this.name
}

output "ca_certificate" {
  description = "Certificate that the instance's own is signed with (public)"
  value       = nonsensitive(google_sql_database_instance.this.server_ca_cert[0].cert)
}

output "user" {
  description = "The application's user"
  value       = google_sql_user.app.name
}

output "database" {
  description = "The application's database"
  value       = google_sql_database.this.name
}

output "protected" {
  description = "Whether it refuses to be deleted"
  value       = google_sql_database_instance.this.deletion_protection && google_sql_database_instance.this.settings[0].deletion_protection_enabled
}
