variable "name" {
  description = "Name of the instance"
  type        = string
}

variable "region" {
  description = "Region of the instance"
  type        = string
}

variable "network" {
  description = "Network in which the instance gets its private address"
  type        = string
}

variable "services_connection" {
  description = "The network's private service access, which must be there first"
  type        = string
}

variable "tier" {
  description = "Machine type: db-custom-<processors>-<MiB>, or db-f1-micro and db-g1-small for trials"
  type        = string

  validation {
    condition     = can(regex("^db-(custom-[0-9]+-[0-9]+|f1-micro|g1-small)$", var.tier))
    error_message = "tier: db-custom-<processors>-<MiB>, db-f1-micro or db-g1-small."
  }
}

variable "highly_available" {
  description = "A standby in another zone"
  type        = bool
  default     = true
}

variable "disk_gib" {
  description = "Size of the disk at the start"
  type        = number
  default     = 20

  validation {
    condition     = var.disk_gib >= 10
    error_message = "disk_gib: at least 10."
  }
}

variable "disk_gib_limit" {
  description = "The disk grows by itself up to this size"
  type        = number
  default     = 200

  validation {
    condition     = var.disk_gib_limit > var.disk_gib
    error_message = "disk_gib_limit: more than disk_gib; 0 would mean no limit."
  }
}

variable "max_connections" {
  description = "Connections; each node takes up to 24"
  type        = number
  default     = 200

  validation {
    condition     = var.max_connections >= 50
    error_message = "max_connections: at least 50: a node takes up to 24."
  }
}

variable "backups" {
  description = "Daily backups that are kept"
  type        = number
  default     = 14

  validation {
    condition     = var.backups >= 7
    error_message = "backups: at least 7."
  }
}

variable "password" {
  description = "Password of the application's user; not stored. Needed at the first apply, and whenever password_version is raised."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    condition     = var.password == null || try(length(var.password) >= 24 && can(regex("^[A-Za-z0-9_-]+$", var.password)), false)
    error_message = "password: at least 24 letters, digits, underscores and hyphens (it becomes part of a URL)."
  }
}

variable "password_version" {
  description = "Raise it to set a new password"
  type        = number
  default     = 1
}

variable "readers" {
  description = "E-mail addresses of people who may read the database"
  type        = set(string)
  default     = []
}

variable "protect" {
  description = "Refuse to delete the instance"
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of the instance"
  type        = map(string)
  default     = {}
}
