# All optional resources, so that each output has all its commands.
mock_provider "google" { source = "./tests/mocks" }

variables {
  project_id          = "faces-project"
  gitlab_project_id   = "4711"
  gitlab_project_path = "group/age-gender"
  gitlab_infra_branch = "infra"
  state_bucket        = "faces-project-terraform"
  gpu_runner_zone     = "europe-west1-b"
  gpu_runner_sha256   = "0000000000000000000000000000000000000000000000000000000000000000"
  settings            = { HEADS = "age,gender", LOG_LEVEL = "WARNING" }
}

run "outputs" {
  assert {
    condition     = startswith(output.deploy, "python -m training deploy --service projects/faces-project/locations/europe-west1/services/age-gender ")
    error_message = "The deployment command is ${output.deploy}"
  }
}
