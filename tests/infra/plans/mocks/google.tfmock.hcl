# No resources are created. These are invented values of attributes that Google computes.
override_resource {
  target = google_service_account.training
  values = { member = "training", email = "training@example.com", name = "projects/p/serviceAccounts/training" }
}
override_resource {
  target = google_service_account.deployer
  values = { member = "deployer", email = "deployer@example.com", name = "projects/p/serviceAccounts/deployer" }
}
override_resource {
  target = google_service_account.runtime
  values = { member = "runtime", email = "runtime@example.com", name = "projects/p/serviceAccounts/runtime" }
}
override_resource {
  target = google_service_account.builder
  values = { member = "builder", email = "builder@example.com", name = "projects/p/serviceAccounts/builder" }
}
override_resource {
  target = google_service_account.infra
  values = { member = "infra", email = "infra@example.com", name = "projects/p/serviceAccounts/infra" }
}
override_resource {
  target = google_project_iam_custom_role.infra
  values = { name = "projects/p/roles/infra" }
}
override_resource {
  target = google_iam_workload_identity_pool_provider.infra
  values = { name = "projects/1/locations/global/workloadIdentityPools/age-gender-gitlab/providers/infra" }
}
override_resource {
  target = google_project_iam_custom_role.deploy
  values = { name = "projects/p/roles/deploy" }
}
override_resource {
  target = google_project_iam_custom_role.build
  values = { name = "projects/p/roles/build" }
}
override_resource {
  target = google_service_account.gpu_runner
  values = { member = "gpu", email = "gpu@example.com", name = "projects/p/serviceAccounts/gpu" }
}
override_resource {
  target = google_project_iam_custom_role.plan
  values = { name = "projects/p/roles/plan" }
}
override_resource {
  target = google_project_iam_custom_role.hold
  values = { name = "projects/p/roles/hold" }
}
override_resource {
  target = google_logging_project_sink.requests
  values = { writer_identity = "sink" }
}
override_resource {
  target = google_iam_workload_identity_pool.gitlab
  values = { name = "projects/1/locations/global/workloadIdentityPools/age-gender-gitlab" }
}
override_resource {
  target = google_iam_workload_identity_pool_provider.training
  values = { name = "projects/1/locations/global/workloadIdentityPools/age-gender-gitlab/providers/training" }
}
override_resource {
  target = google_iam_workload_identity_pool_provider.deployer
  values = { name = "projects/1/locations/global/workloadIdentityPools/age-gender-gitlab/providers/deployer" }
}
override_resource {
  target = google_cloud_run_v2_service.function
  values = { uri = "https://age-gender.example.com" }
}
