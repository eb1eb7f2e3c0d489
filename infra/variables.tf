variable "project_id" {
  description = "Google Cloud project that everything is made in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is \"${var.project_id}\", which is no project id (6 to 30 of a-z, 0-9 and -, a letter first); `gcloud projects list` shows yours. The display name and the number do not work here."
  }
}

variable "region" {
  description = "Region of the buckets, the image repository and the function."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region is \"${var.region}\", which is no region; write one such as europe-west1, without a zone's -b, out of `gcloud run regions list`."
  }
}

variable "name" {
  description = "Name of the function; it also begins the names of the service accounts and of the identity pool."
  type        = string
  default     = "age-gender"

  validation {
    # A service account's name ends at 30 characters, and "-training" takes 9 of them.
    condition     = can(regex("^[a-z][a-z0-9-]{2,19}[a-z0-9]$", var.name))
    error_message = "name is \"${var.name}\" (${length(var.name)} characters); use 4 to 21 of a-z, 0-9 and -, a letter first and no - last."
  }
}

variable "gitlab_url" {
  description = "GitLab that signs the identity tokens, as its tokens name it: no slash at the end."
  type        = string
  default     = "https://gitlab.com"

  validation {
    condition     = can(regex("^https://[^/]+$", var.gitlab_url))
    error_message = "gitlab_url is \"${var.gitlab_url}\"; write https:// and the host alone, as in https://gitlab.com."
  }
}

variable "gitlab_project_id" {
  description = "Number of the GitLab project whose protected branches and tags may act here. Unlike its path, it survives a rename and can't be taken over."
  type        = string

  validation {
    condition     = can(regex("^[1-9][0-9]*$", var.gitlab_project_id))
    error_message = "gitlab_project_id is \"${var.gitlab_project_id}\"; it is a number, not a path: GitLab shows it under Settings > General."
  }
}
