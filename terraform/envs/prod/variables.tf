variable "project_id" {
  description = "Google Cloud project of this environment"
  type        = string
}

variable "image" {
  description = "Image of Streamify, with a tag or a digest"
  type        = string
}

variable "region" {
  description = "Region of everything"
  type        = string
  default     = "europe-west1"
}

variable "github_repository" {
  description = "owner/name of the repository that deploys"
  type        = string
}

variable "terraform_state_bucket" {
  description = "Bucket of Terraform's state: CI gets its rights there"
  type        = string
  default     = null
}

variable "database_password" {
  description = "At the first apply, and with each higher database_password_version; kept nowhere. TF_VAR_database_password=$(openssl rand -hex 24)"
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "database_password_version" {
  description = "Raise it together with a new password"
  type        = number
  default     = 1
}

variable "users" {
  description = "Who may open the pages and call the API: any name => IAM member"
  type        = map(string)
  default     = {}
}

variable "alert_emails" {
  description = "Who is told of alerts"
  type        = set(string)

  validation {
    condition     = length(var.alert_emails) > 0
    error_message = "alert_emails: production needs somebody to tell."
  }
}

variable "budget" {
  description = "Billing account and what a month may cost"
  type        = object({ billing_account = string, monthly = number, currency = optional(string, "USD") })
  default     = null
}

variable "registry_readers" {
  description = "Cloud Run service agents of other projects that pull from this registry"
  type        = set(string)
  default     = []
}
