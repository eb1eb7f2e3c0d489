# A spot machine with one T4 that takes GitLab's training jobs, for those without GitLab's own. It is off, and costs its
# disk alone, until a command starts it; without a job for half an hour it turns itself off again.
locals {
  gpu_runner = var.gpu_runner_zone == "" ? [] : ["${var.name}-gpu-runner"]
}

# The token comes in by hand (output `gpu_runner`), so that it is in no state.
resource "google_secret_manager_secret" "runner_token" {
  for_each  = toset(local.gpu_runner)
  secret_id = "${each.key}-token"
  replication {
    auto {}
  }
  depends_on = [google_project_service.this]
}

# Reads its token, and nothing else: a job on the machine takes on GitLab's identities as anywhere.
resource "google_service_account" "gpu_runner" {
  for_each     = toset(local.gpu_runner)
  account_id   = "${var.name}-gpu"
  display_name = "GPU machine of the pipeline"
  depends_on   = [google_project_service.this]
}

resource "google_secret_manager_secret_iam_member" "runner_token" {
  for_each  = toset(local.gpu_runner)
  secret_id = google_secret_manager_secret.runner_token[each.key].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.gpu_runner[each.key].member
}

# Without a single firewall rule nothing reaches the machine; the runner asks GitLab for jobs.
resource "google_compute_network" "gpu_runner" {
  #checkov:skip=CKV2_GCP_18: no rule at all is the strictest firewall.
  for_each                = toset(local.gpu_runner)
  name                    = each.key
  auto_create_subnetworks = false
  depends_on              = [google_project_service.this]
}

resource "google_compute_subnetwork" "gpu_runner" {
  #checkov:skip=CKV_GCP_26: one machine that only calls GitLab and registries; flow logs would cost more than it.
  #checkov:skip=CKV_GCP_76: there is no IPv6 here that could be private.
  for_each                 = toset(local.gpu_runner)
  name                     = each.key
  region                   = regex("^(.+)-[a-z]$", var.gpu_runner_zone)[0]
  network                  = google_compute_network.gpu_runner[each.key].id
  ip_cidr_range            = "10.0.0.0/29"
  private_ip_google_access = true
}

resource "google_compute_instance" "gpu_runner" {
  #checkov:skip=CKV_GCP_38: the disk holds what a job fetched, encrypted by Google's keys.
  #checkov:skip=CKV_GCP_39: the driver's modules are not signed for Secure Boot.
  #checkov:skip=CKV_GCP_40: a NAT gateway costs more than the machine; no firewall rule lets anybody in.
  for_each     = toset(local.gpu_runner)
  name         = each.key
  zone         = var.gpu_runner_zone
  machine_type = "n1-standard-8"

  guest_accelerator {
    type  = "nvidia-tesla-t4"
    count = 1
  }

  scheduling {
    provisioning_model          = "SPOT"
    preemptible                 = true
    automatic_restart           = false
    on_host_maintenance         = "TERMINATE"
    instance_termination_action = "STOP"
  }

  boot_disk {
    initialize_params {
      # With NVIDIA's driver, Docker and its GPU runtime; the newest of the family is chosen when the machine is made.
      image = "projects/deeplearning-platform-release/global/images/family/common-cu129-ubuntu-2204-nvidia-580"
      size  = 100
      type  = "pd-standard"
    }
  }

  network_interface {
    subnetwork = google_compute_subnetwork.gpu_runner[each.key].id
    access_config {}
  }

  shielded_instance_config {
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  service_account {
    email  = google_service_account.gpu_runner[each.key].email
    scopes = ["cloud-platform"]
  }

  metadata = {
    block-project-ssh-keys = true
    gitlab-url             = var.gitlab_url
    token-secret           = google_secret_manager_secret.runner_token[each.key].secret_id
    startup-script         = file("${path.module}/gpu_runner.sh")
  }

  lifecycle {
    # A new image of the family is no reason to lose the disk's caches.
    ignore_changes = [boot_disk[0].initialize_params[0].image]
  }
}
