variable "project_id" {
  description = "Project that the accounts belong to"
  type        = string
}

variable "name" {
  description = "Prefix of the accounts"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "name: 2 to 20 lower-case letters, digits and hyphens: an account's id has at most 30 characters."
  }
}

variable "environment" {
  description = "GitHub's environment whose jobs may deploy here"
  type        = string
}

variable "github_repository" {
  description = "owner/name of the repository whose workflows may plan and deploy"
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository: owner/name, without quotes or wildcards."
  }
}

variable "ci_applies" {
  description = "Whether CI also applies this configuration; false: it only deploys new images"
  type        = bool
  default     = false
}

variable "terraform_state_bucket" {
  description = "Bucket of Terraform's state; null: CI gets no right on it"
  type        = string
  default     = null
}
