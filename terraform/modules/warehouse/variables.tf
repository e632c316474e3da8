variable "location" {
  description = "Region or multi-region of the datasets; the lake's bucket must lie in it"
  type        = string
}

variable "lake_bucket" {
  description = "Bucket of the lake"
  type        = string
}

variable "events" {
  description = "Fields of each topic, as in dags/streamify/schemas"
  type        = map(list(object({ name = string, type = string })))

  validation {
    condition     = length(var.events) > 0 && alltrue(flatten([for fields in values(var.events) : [for field in fields : contains(["int", "double", "string", "boolean"], field.type)]]))
    error_message = "events: at least one topic; types are int, double, string and boolean."
  }
}

variable "dataset_prefix" {
  description = "Put before the names raw, staging, prod and quality, where a project holds more than one platform"
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([A-Za-z][A-Za-z0-9_]*_)?$", var.dataset_prefix))
    error_message = "dataset_prefix: letters, digits and underscores, ending with an underscore; or empty."
  }
}

variable "staging_days" {
  description = "Days for which hours stay in staging; null: for good. A rebuild reaches back as far as staging does, or loads from the lake again."
  type        = number
  default     = null

  validation {
    condition     = var.staging_days == null || try(var.staging_days >= 30, false)
    error_message = "staging_days: at least 30 (late events are looked for over 7 days), or null."
  }
}

variable "quality_days" {
  description = "Days for which results of checks are kept"
  type        = number
  default     = 400

  validation {
    condition     = var.quality_days >= 30
    error_message = "quality_days: at least 30."
  }
}

variable "access" {
  description = "Rights on each dataset"
  type        = map(list(object({ name = string, role = string, member = string })))
  default     = {}

  validation {
    condition     = alltrue([for dataset in keys(var.access) : contains(["raw", "staging", "prod", "quality"], dataset)])
    error_message = "access: datasets are raw, staging, prod and quality."
  }

  validation {
    condition     = alltrue(flatten([for grants in values(var.access) : [for grant in grants : contains(["roles/bigquery.dataViewer", "roles/bigquery.dataEditor"], grant.role) && !contains(["allUsers", "allAuthenticatedUsers"], grant.member)]]))
    error_message = "access: roles/bigquery.dataViewer or roles/bigquery.dataEditor, never to everybody."
  }
}

variable "protect" {
  description = "Refuse to delete tables and datasets that hold something"
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of datasets and tables"
  type        = map(string)
  default     = {}
}
