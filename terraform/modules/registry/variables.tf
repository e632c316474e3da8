variable "name" {
  description = "Name of the repository"
  type        = string
}

variable "region" {
  description = "Region of the repository"
  type        = string
}

variable "writer" {
  description = "IAM member that pushes images"
  type        = string
}

variable "readers" {
  description = "IAM members that pull images: the Cloud Run service agents of other projects"
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for reader in var.readers : !contains(["allUsers", "allAuthenticatedUsers"], reader)])
    error_message = "readers: name them; images are not for everybody."
  }
}

variable "keep_count" {
  description = "Newest images that are always kept"
  type        = number
  default     = 20

  validation {
    condition     = var.keep_count >= 5
    error_message = "keep_count: at least 5, or a rollback may find nothing."
  }
}

variable "keep_days" {
  description = "Days after which older images go"
  type        = number
  default     = 90

  validation {
    condition     = var.keep_days >= 7
    error_message = "keep_days: at least 7."
  }
}

variable "labels" {
  description = "Labels of the repository"
  type        = map(string)
  default     = {}
}
