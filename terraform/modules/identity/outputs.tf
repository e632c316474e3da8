output "emails" {
  description = "E-mail address of each service account"
  value       = { for role, account in google_service_account.this : role => account.email }
}

output "members" {
  description = "Each service account as IAM policies name it"
  value       = { for role, account in google_service_account.this : role => account.member }
}

output "workload_identity_provider" {
  description = "What google-github-actions/auth takes as workload_identity_provider"
  value       = google_iam_workload_identity_pool_provider.github.name
}
