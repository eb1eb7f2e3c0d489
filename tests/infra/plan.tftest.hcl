# Applied against a mocked provider: nothing is made, what is computed is invented or set here.
mock_provider "google" {
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
    target = google_iam_workload_identity_pool.gitlab
    values = { name = "projects/1/locations/global/workloadIdentityPools/age-gender-gitlab" }
  }
}

variables {
  project_id        = "faces-project"
  gitlab_project_id = "4711"
}

run "buckets_are_private_and_keep_versions" {
  assert {
    condition = alltrue([
      for bucket in [google_storage_bucket.data, google_storage_bucket.releases] :
      bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced" && bucket.versioning[0].enabled
    ])
    error_message = "A bucket may be public, or loses what is overwritten."
  }
}

run "a_release_is_never_overwritten" {
  assert {
    condition     = google_storage_bucket_iam_member.releases_publish.role == "roles/storage.objectCreator"
    error_message = "Publishing takes no right to delete."
  }
  assert {
    condition     = google_storage_bucket_iam_member.releases_publish.condition[0].expression == "resource.name != \"projects/_/buckets/faces-project-releases/objects/production\""
    error_message = "The training account could make the first pointer."
  }
  assert {
    condition     = google_storage_bucket_iam_member.releases_promote.condition[0].expression == "resource.name == \"projects/_/buckets/faces-project-releases/objects/production\""
    error_message = "The right to overwrite reaches further than the pointer."
  }
  assert {
    condition     = google_storage_bucket_iam_member.releases_promote.member == "deployer"
    error_message = "Somebody else than the deployer moves the pointer."
  }
}

run "only_protected_refs_of_one_project_get_in" {
  assert {
    condition = alltrue([
      for provider in [google_iam_workload_identity_pool_provider.training, google_iam_workload_identity_pool_provider.deployer] :
      startswith(provider.attribute_condition, "assertion.project_id == \"4711\" && assertion.ref_protected == \"true\"")
    ])
    error_message = "Another project, or an unprotected branch, is let in."
  }
  assert {
    condition     = endswith(google_iam_workload_identity_pool_provider.deployer.attribute_condition, "&& assertion.environment == \"production\"")
    error_message = "A job outside the production environment becomes the deployer."
  }
  assert {
    condition     = google_service_account_iam_member.gitlab_deployer.member == "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/age-gender-gitlab/attribute.environment/production"
    error_message = "The deployer is bound to something else than the production environment."
  }
}

run "building_reads_neither_faces_nor_releases" {
  assert {
    condition = alltrue([
      for grant in google_project_iam_member.build :
      endswith(grant.condition[0].expression, "|| resource.name.startsWith(\"projects/_/buckets/run-sources-faces-project-europe-west1/\")")
    ])
    error_message = "A role on the whole project reaches every bucket."
  }
}

run "credentials_are_scoped_to_their_jobs" {
  assert {
    condition     = strcontains(output.gitlab_credentials, "--scope 'production' < deployer.json") && strcontains(output.gitlab_credentials, "--scope '*' < training.json")
    error_message = "A job gets the credentials of the other identity: ${output.gitlab_credentials}"
  }
}

run "a_display_name_is_no_project_id" {
  command = plan
  variables { project_id = "My Project" }
  expect_failures = [var.project_id]
}

run "a_zone_is_no_region" {
  command = plan
  variables { region = "europe-west1-b" }
  expect_failures = [var.region]
}

run "a_service_account_name_would_be_too_long" {
  command = plan
  variables { name = "age-gender-ethnicity-x" }
  expect_failures = [var.name]
}

run "a_path_is_no_gitlab_project_id" {
  command = plan
  variables { gitlab_project_id = "group/age-gender" }
  expect_failures = [var.gitlab_project_id]
}

run "the_issuer_has_no_slash_at_its_end" {
  command = plan
  variables { gitlab_url = "https://gitlab.com/" }
  expect_failures = [var.gitlab_url]
}
