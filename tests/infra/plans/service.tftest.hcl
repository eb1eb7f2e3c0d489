# The service, and the attributes that the pipeline changes.
mock_provider "google" { source = "./tests/mocks" }

variables {
  project_id        = "faces-project"
  gitlab_project_id = "4711"
}

run "the_service_is_private_and_scales_to_zero" {
  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.everybody_asks) == 0
    error_message = "The service is public although `public` is false."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.deployer_asks.role == "roles/run.invoker" && google_cloud_run_v2_service_iam_member.deployer_asks.member == "deployer"
    error_message = "The pipeline cannot send requests to the candidate."
  }
  assert {
    condition     = one(google_cloud_run_v2_service.function.scaling).min_instance_count == 0 && one(google_cloud_run_v2_service.function.scaling).max_instance_count == 10
    error_message = "The service does not scale to zero, or has no limit."
  }
  assert {
    condition     = one(google_cloud_run_v2_service.function.template).service_account == "runtime@example.com"
    error_message = "The function runs as another account."
  }
  assert {
    condition     = google_cloud_run_v2_service.function.deletion_protection
    error_message = "The service is not protected against deletion."
  }
}

run "instance_has_the_measured_size" {
  assert {
    condition     = one(one(google_cloud_run_v2_service.function.template).containers).resources[0] == { limits = tomap({ cpu = "1", memory = "512Mi" }), cpu_idle = true, startup_cpu_boost = true }
    error_message = "The instance differs: ${jsonencode(one(one(google_cloud_run_v2_service.function.template).containers).resources)}"
  }
  assert {
    condition     = one(google_cloud_run_v2_service.function.template).max_instance_request_concurrency == 8 && one(google_cloud_run_v2_service.function.template).timeout == "60s"
    error_message = "Concurrency or timeout differ."
  }
  assert {
    condition = alltrue([
      for probe in [one(google_cloud_run_v2_service.function.template).containers[0].startup_probe, one(google_cloud_run_v2_service.function.template).containers[0].liveness_probe] :
      probe[0].http_get[0].path == "/health"
    ])
    error_message = "A probe requests another path than /health."
  }
  assert {
    # The release loads within MODEL_FETCH_TIMEOUT, 20 s.
    condition     = one(google_cloud_run_v2_service.function.template).containers[0].startup_probe[0].period_seconds * one(google_cloud_run_v2_service.function.template).containers[0].startup_probe[0].failure_threshold >= 40
    error_message = "The startup probe gives up on a slow start."
  }
}

run "service_starts_with_the_given_settings" {
  assert {
    condition     = { for env in one(google_cloud_run_v2_service.function.template).containers[0].env : env.name => env.value } == { GOOGLE_CLOUD_PROJECT = "faces-project", HEADS = "age,gender" }
    error_message = "The function starts with other settings."
  }
}

# A second apply on the state above.
run "changed_settings_keep_the_variables_of_the_pipeline" {
  variables {
    settings = { HEADS = "age", LOG_LEVEL = "WARNING" }
    memory   = "1Gi"
  }
  assert {
    condition     = { for env in one(google_cloud_run_v2_service.function.template).containers[0].env : env.name => env.value } == { GOOGLE_CLOUD_PROJECT = "faces-project", HEADS = "age,gender" }
    error_message = "Terraform overwrites the variables, including MODEL_URI of the pipeline."
  }
  assert {
    condition     = one(google_cloud_run_v2_service.function.template).containers[0].resources[0].limits["memory"] == "1Gi"
    error_message = "Terraform does not change its own attributes."
  }
  assert {
    condition     = output.change_settings == "gcloud run services update age-gender --project=faces-project --region=europe-west1 --no-traffic --update-env-vars='^;^HEADS=age;LOG_LEVEL=WARNING'"
    error_message = "The command is ${output.change_settings}"
  }
}

run "public_allows_all_users" {
  command = plan
  variables { public = true }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.everybody_asks[0].member == "allUsers" && google_cloud_run_v2_service_iam_member.everybody_asks[0].role == "roles/run.invoker"
    error_message = "`public` does not make the service public."
  }
}

run "outputs_set_the_variables_of_the_pipeline" {
  variables { gitlab_project_path = "group/age-gender" }
  assert {
    condition = alltrue([for line in [
      "variable DATA_BUCKET 'gs://faces-project-faces'",
      "variable GOOGLE_CLOUD_PROJECT 'faces-project'",
      "variable LOG_URI 'gs://faces-project-logs'",
      "variable REGISTRY 'gs://faces-project-releases'",
      "variable SERVICE 'projects/faces-project/locations/europe-west1/services/age-gender'",
      "variable SERVICE_URL 'https://age-gender.example.com'",
      "variable TRUSTED_IDENTITY 'https://gitlab.com/group/age-gender//.gitlab-ci.yml@refs/heads/main'",
      "variable WORK_BUCKET 'gs://faces-project-work'",
    ] : contains(split("\n", output.gitlab_setup), line)])
    error_message = "The variables are ${output.gitlab_setup}"
  }
}

run "gpu_runner_is_optional" {
  assert {
    condition     = length(google_compute_instance.gpu_runner) + length(google_secret_manager_secret.runner_token) == 0
    error_message = "There is a GPU runner without a zone."
  }
}

run "gpu_runner_is_spot_and_unreachable" {
  variables {
    gpu_runner_zone   = "europe-west1-b"
    gpu_runner_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
  }
  assert {
    condition     = google_compute_instance.gpu_runner["age-gender-gpu-runner"].scheduling[0].provisioning_model == "SPOT" && google_compute_instance.gpu_runner["age-gender-gpu-runner"].scheduling[0].instance_termination_action == "STOP"
    error_message = "The machine is not a spot machine that stops."
  }
  assert {
    condition     = google_compute_subnetwork.gpu_runner["age-gender-gpu-runner"].region == "europe-west1"
    error_message = "The subnetwork is in another region than the machine."
  }
}
