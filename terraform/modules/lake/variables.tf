variable "name" {
  description = "Prefix of the buckets' names; buckets share one name space with the whole world, so it begins with the project's id"
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{2,56}$", var.name)) && !startswith(var.name, "goog")
    error_message = "name: 3 to 57 lower-case letters, digits and hyphens, not beginning with goog."
  }
}

variable "location" {
  description = "Region or multi-region of the buckets"
  type        = string
}

variable "protect" {
  description = "Refuse to delete buckets that hold something"
  type        = bool
  default     = true
}

variable "cold_after_days" {
  description = "Days after which events move to the Nearline class"
  type        = number
  default     = 60

  validation {
    condition     = var.cold_after_days >= 1
    error_message = "cold_after_days: at least 1."
  }
}

variable "events_days" {
  description = "Days after which events are deleted; null: never"
  type        = number
  default     = null

  validation {
    condition     = var.events_days == null || try(var.events_days >= var.cold_after_days + 30, false)
    error_message = "events_days: at least 30 days after cold_after_days (Nearline is charged for 30 days), or null to keep events."
  }
}

variable "dead_letters_days" {
  description = "Days for which records that could not be read are kept"
  type        = number
  default     = 180
}

variable "soft_delete_days" {
  description = "Days for which deleted objects can be restored"
  type        = number
  default     = 7

  validation {
    condition     = var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90)
    error_message = "soft_delete_days: 0, or 7 to 90."
  }
}

variable "readers" {
  description = "Who reads the lake: any name => IAM member"
  type        = map(string)
}

variable "writers" {
  description = "IAM members `stream` and `worker`"
  type        = object({ stream = string, worker = string })
}

variable "state_access" {
  description = "Rights on the state bucket: any name => role and IAM member"
  type        = map(object({ role = string, member = string }))
  default     = {}

  validation {
    condition     = alltrue([for grant in values(var.state_access) : startswith(grant.role, "roles/storage.object")])
    error_message = "state_access: rights on objects only (roles/storage.object...)."
  }
}

variable "labels" {
  description = "Labels of the buckets"
  type        = map(string)
  default     = {}
}
