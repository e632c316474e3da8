variable "name" {
  description = "Prefix of the secrets' names"
  type        = string
}

variable "region" {
  description = "Where the secrets are kept"
  type        = string
}

variable "secrets" {
  description = "Secret => parts that read it (keys of members)"
  type        = map(list(string))

  validation {
    condition     = alltrue([for name in keys(var.secrets) : can(regex("^[a-z][a-z0-9-]{0,60}$", name))])
    error_message = "secrets: lower-case letters, digits and hyphens."
  }
}

variable "members" {
  description = "Part => IAM member"
  type        = map(string)

  validation {
    condition     = alltrue([for member in values(var.members) : !contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "members: secrets are not for everybody."
  }
}

variable "protect" {
  description = "Refuse to delete secrets"
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of the secrets"
  type        = map(string)
  default     = {}
}
