output "environment" {
  description = "Environment variables of each part"
  value       = local.environment
}

output "image" {
  description = "What runs"
  value       = var.image
}

output "web_url" {
  description = "Pages and API"
  value       = "https://${local.web_host}"
}

output "migrate_job" {
  description = "Job that brings the schema up to date"
  value       = module.run.migrate_job
}

output "github_variables" {
  description = "Variables of GitHub's environments, which the deploy workflow reads"
  value = {
    GCP_PROJECT            = var.project_id
    GCP_REGISTRY           = module.registry.url
    GCP_IDENTITY_PROVIDER  = module.identity.workload_identity_provider
    GCP_DEPLOY_ACCOUNT     = module.identity.emails["ci"]
    GCP_PLAN_ACCOUNT       = module.identity.emails["plan"]
    GCP_PUSH_ACCOUNT       = module.identity.emails["push"]
    TERRAFORM_STATE_BUCKET = var.terraform_state_bucket == null ? "" : var.terraform_state_bucket
  }
}

output "state_url" {
  description = "Bucket for logs, dumps and checkpoints"
  value       = module.lake.state_url
}

output "database" {
  description = "Cloud SQL instance: project:region:name"
  value       = module.database.connection_name
}

output "alerts" {
  description = "Alerts that are set"
  value       = module.watch.alerts
}

output "protected" {
  description = "What refuses to be deleted"
  value = {
    database  = module.database.protected
    kafka     = module.kafka.protected
    lake      = module.lake.protected
    run       = module.run.protected
    warehouse = module.warehouse.protected
  }
}
