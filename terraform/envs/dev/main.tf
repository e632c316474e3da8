# Development: small, and it may all be deleted.

module "platform" {
  source = "../../modules/platform"

  environment = "dev"
  size        = "small"
  protect     = false

  project_id                = var.project_id
  region                    = var.region
  image                     = var.image
  github_repository         = var.github_repository
  terraform_state_bucket    = var.terraform_state_bucket
  registry_readers          = var.registry_readers
  database_password         = var.database_password
  database_password_version = var.database_password_version
  users                     = var.users
  alert_emails              = var.alert_emails
  budget                    = var.budget

  # Made of simulated events: nothing is missed when old ones go.
  kafka_retention_days = 30
  events_days          = 120
  staging_days         = 60
}
