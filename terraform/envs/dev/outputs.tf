output "project_id" {
  description = "Project of this environment"
  value       = var.project_id
}

output "region" {
  description = "Region of everything"
  value       = var.region
}

output "image" {
  description = "What runs"
  value       = module.platform.image
}

output "web_url" {
  description = "Pages and API"
  value       = module.platform.web_url
}

output "migrate_job" {
  description = "Job that brings the schema up to date"
  value       = module.platform.migrate_job
}

output "environment" {
  description = "Environment variables of each part"
  value       = module.platform.environment
}

output "github_variables" {
  description = "Variables of GitHub's environments"
  value       = module.platform.github_variables
}

output "state_url" {
  description = "Bucket for logs, dumps and checkpoints"
  value       = module.platform.state_url
}
