# Production: medium, with standbys, protected against deletion; events and hours are kept for good.

module "platform" {
  source = "../../modules/platform"

  environment = "prod"
  size        = "medium"
  protect     = true

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
}
