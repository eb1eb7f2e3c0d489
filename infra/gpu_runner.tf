# A spot machine with one T4 that runs GitLab's training jobs, if you have no GPU runner on GitLab. It is off until you
# start it, and shuts down after 30 minutes without a job. While off it costs only its disk.
locals {
  gpu_runner = var.gpu_runner_zone == "" ? [] : ["${var.name}-gpu-runner"]
}

# You store the token with the output `gpu_runner`, so the state does not contain it.
resource "google_secret_manager_secret" "runner_token" {
  for_each  = toset(local.gpu_runner)
  secret_id = "${each.key}-token"
  replication {
    auto {}
  }
  depends_on = [google_project_service.this]
}

# Can only read its token. Jobs on the machine use GitLab's identities: gpu_runner.sh keeps the metadata server, which
# issues this account's tokens, from their containers.
resource "google_service_account" "gpu_runner" {
  for_each     = toset(local.gpu_runner)
  account_id   = "${var.name}-gpu"
  display_name = "GPU runner of the pipeline"
  depends_on   = [google_project_service.this]
}

resource "google_secret_manager_secret_iam_member" "runner_token" {
  for_each  = toset(local.gpu_runner)
  secret_id = google_secret_manager_secret.runner_token[each.key].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.gpu_runner[each.key].member
}

# Without firewall rules the machine is unreachable. The runner polls GitLab for jobs.
resource "google_compute_network" "gpu_runner" {
  #checkov:skip=CKV2_GCP_18: a network without rules blocks all incoming traffic.
  for_each                = toset(local.gpu_runner)
  name                    = each.key
  auto_create_subnetworks = false
  depends_on              = [google_project_service.this]
}

resource "google_compute_subnetwork" "gpu_runner" {
  #checkov:skip=CKV_GCP_26: the machine only connects to GitLab and registries; flow logs would cost more than the machine.
  #checkov:skip=CKV_GCP_76: the subnetwork has no IPv6.
  for_each                 = toset(local.gpu_runner)
  name                     = each.key
  region                   = regex("^(.+)-[a-z]$", var.gpu_runner_zone)[0]
  network                  = google_compute_network.gpu_runner[each.key].id
  ip_cidr_range            = "10.0.0.0/29"
  private_ip_google_access = true
}

resource "google_compute_instance" "gpu_runner" {
  #checkov:skip=CKV_GCP_38: the disk contains downloads of jobs, encrypted with Google's keys.
  #checkov:skip=CKV_GCP_39: the modules of the driver are not signed for Secure Boot.
  #checkov:skip=CKV_GCP_40: a NAT gateway costs more than the machine, and no firewall rule allows incoming traffic.
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
      # Contains NVIDIA's driver, Docker and its GPU runtime. Terraform uses the newest image when it creates the machine.
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
    runner-version         = var.gpu_runner_version
    runner-sha256          = var.gpu_runner_sha256
    token-secret           = google_secret_manager_secret.runner_token[each.key].secret_id
    startup-script         = file("${path.module}/gpu_runner.sh")
  }

  lifecycle {
    # A new image must not replace the disk with its caches.
    ignore_changes = [boot_disk[0].initialize_params[0].image]
  }
}
