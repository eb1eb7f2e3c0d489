# Permissions.
mock_provider "google" { source = "./tests/mocks" }

variables {
  project_id        = "faces-project"
  gitlab_project_id = "4711"
}

run "buckets_are_private" {
  assert {
    condition = alltrue([
      for bucket in [google_storage_bucket.data, google_storage_bucket.releases, google_storage_bucket.logs, google_storage_bucket.sources] :
      bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced"
    ])
    error_message = "A bucket may be public."
  }
  assert {
    condition     = google_storage_bucket.data.versioning[0].enabled && google_storage_bucket.releases.versioning[0].enabled
    error_message = "A bucket does not keep overwritten objects."
  }
}

run "a_release_is_never_overwritten" {
  assert {
    condition     = google_storage_bucket_iam_member.releases_publish.role == "roles/storage.objectCreator"
    error_message = "Publishing must not include the permission to delete."
  }
  assert {
    condition     = google_storage_bucket_iam_member.releases_publish.condition[0].expression == "resource.name != \"projects/_/buckets/faces-project-releases/objects/production\""
    error_message = "The training account could create the pointer."
  }
  assert {
    condition     = google_storage_bucket_iam_member.releases_promote.condition[0].expression == "resource.name == \"projects/_/buckets/faces-project-releases/objects/production\""
    error_message = "The permission to overwrite is not limited to the pointer."
  }
  assert {
    condition     = google_storage_bucket_iam_member.releases_promote.member == "deployer"
    error_message = "Another account than the deployer may move the pointer."
  }
  assert {
    condition     = google_storage_bucket_iam_member.releases_attest.role == "roles/storage.objectCreator" && google_storage_bucket_iam_member.releases_attest.condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/faces-project-releases/objects/.images/\")"
    error_message = "The deployer could publish a release, or change an attestation."
  }
  assert {
    condition     = google_project_iam_custom_role.hold.permissions == toset(["storage.objects.get", "storage.objects.update"])
    error_message = "Holding a release must not include the permission to delete it."
  }
}

run "old_pointers_and_pruned_releases_have_separate_retention" {
  assert {
    condition = {
      for rule in google_storage_bucket.releases.lifecycle_rule :
      one(one(rule.condition).matches_prefix) => one(rule.condition).days_since_noncurrent_time
      if one(rule.condition).matches_prefix != null
    } == { production = 365, "2" = 30 }
    error_message = "Old pointers and pruned releases must have separate, finite retention."
  }
}

run "only_one_protected_branch_of_one_project_has_access" {
  assert {
    condition = alltrue([
      for provider in [google_iam_workload_identity_pool_provider.training, google_iam_workload_identity_pool_provider.deployer] :
      startswith(provider.attribute_condition, "assertion.project_id == \"4711\" && assertion.ref_protected == \"true\" && assertion.ref_path == \"refs/heads/main\"")
    ])
    error_message = "Another project, another branch or a tag has access."
  }
  assert {
    condition     = endswith(google_iam_workload_identity_pool_provider.deployer.attribute_condition, "&& assertion.environment in [\"candidate\",\"production\"]")
    error_message = "A job outside the deployment environments can use the deployer."
  }
  assert {
    condition = alltrue([
      for provider in [google_iam_workload_identity_pool_provider.training, google_iam_workload_identity_pool_provider.deployer] :
      !strcontains(provider.attribute_mapping["google.subject"], "assertion.sub")
    ])
    error_message = "The subject contains the path of the project, which can exceed Google's 127 bytes."
  }
  assert {
    condition = { for name, each in google_service_account_iam_member.gitlab_deployer : name => each.member } == {
      for name in ["candidate", "production"] :
      name => "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/age-gender-gitlab/attribute.environment/${name}"
    }
    error_message = "The deployer is not bound to the deployment environments."
  }
}

run "only_the_pipelines_file_and_protected_environments_have_access" {
  variables {
    gitlab_project_path    = "group/age-gender"
    gitlab_branch          = "trunk"
    protected_environments = true
  }
  assert {
    condition = alltrue([
      for provider in [google_iam_workload_identity_pool_provider.training, google_iam_workload_identity_pool_provider.deployer] :
      strcontains(provider.attribute_condition, "assertion.ref_path == \"refs/heads/trunk\" && assertion.ci_config_ref_uri == \"gitlab.com/group/age-gender//.gitlab-ci.yml@refs/heads/trunk\"")
    ])
    error_message = "Another file can define the jobs that have access."
  }
  assert {
    condition     = endswith(google_iam_workload_identity_pool_provider.deployer.attribute_condition, "&& assertion.environment_protected == \"true\"")
    error_message = "A job of an unprotected environment can use the deployer."
  }
  assert {
    condition     = strcontains(output.gitlab_setup, "variable TRUSTED_IDENTITY 'https://gitlab.com/group/age-gender//.gitlab-ci.yml@refs/heads/trunk'")
    error_message = "Releases must be signed by another branch: ${output.gitlab_setup}"
  }
}

run "training_reads_the_service_and_changes_nothing" {
  assert {
    condition     = google_project_iam_custom_role.plan.permissions == toset(["run.revisions.get", "run.services.get"]) && google_cloud_run_v2_service_iam_member.training_reads.role == "projects/p/roles/plan"
    error_message = "The training account must read the service, and not change it."
  }
}

run "the_deployer_changes_one_service_and_acts_as_two_accounts" {
  assert {
    condition     = google_project_iam_custom_role.deploy.permissions == toset(["run.revisions.get", "run.revisions.list", "run.services.get", "run.services.update"])
    error_message = "The deployment role must not create or delete services or change their permissions."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.deployer_changes.role == "projects/p/roles/deploy" && google_cloud_run_v2_service_iam_member.deployer_changes.name == "age-gender"
    error_message = "The permission to change services is not limited to this service."
  }
  assert {
    condition     = toset([for grant in google_project_iam_member.deployer : grant.role]) == toset(["projects/p/roles/build", "roles/serviceusage.serviceUsageConsumer", "roles/logging.viewer"])
    error_message = "The deployer has another permission on the project."
  }
  assert {
    condition     = toset([for grant in google_service_account_iam_member.deployer_acts_as : grant.service_account_id]) == toset(["projects/p/serviceAccounts/builder", "projects/p/serviceAccounts/runtime"])
    error_message = "The deployer may act as an account that it does not need."
  }
}

run "builds_only_read_the_source" {
  assert {
    condition     = { for role, grant in google_storage_bucket_iam_member.sources : role => "${grant.member} ${grant.bucket}" } == { "roles/storage.objectUser" = "deployer run-sources-faces-project-europe-west1", "roles/storage.objectViewer" = "builder run-sources-faces-project-europe-west1" }
    error_message = "Another account may read or write the sources."
  }
  assert {
    condition     = google_artifact_registry_repository_iam_member.images["roles/artifactregistry.writer"].member == "builder" && google_project_iam_member.builder_logs.role == "roles/logging.logWriter"
    error_message = "The builder cannot store its image or its log."
  }
}

run "credentials_are_scoped_to_their_jobs" {
  assert {
    condition     = strcontains(output.gitlab_setup, " deployer.json 'candidate' 'production'") && strcontains(output.gitlab_setup, " training.json '*'")
    error_message = "A job gets the credentials of another identity: ${output.gitlab_setup}"
  }
  assert {
    condition     = length(google_service_account.infra) + length(google_project_iam_member.infra) + length(google_iam_workload_identity_pool_provider.infra) + length(google_storage_bucket_iam_member.state) == 0
    error_message = "There is an identity of plans without a state that it could read."
  }
  assert {
    condition     = !strcontains(output.gitlab_setup, "STATE_BUCKET") && !strcontains(output.gitlab_setup, "infra.json")
    error_message = "GitLab gets an identity of plans: ${output.gitlab_setup}"
  }
}

run "plans_read_the_state_and_change_nothing" {
  variables {
    state_bucket    = "faces-project-terraform"
    billing_account = "012345-6789AB-CDEF01"
  }
  assert {
    condition     = alltrue([for permission in google_project_iam_custom_role.infra["infra"].permissions : can(regex("\\.(get|getIamPolicy|list|use)$", permission)) && !strcontains(permission, "objects")])
    error_message = "The identity of plans may change something: ${join(", ", google_project_iam_custom_role.infra["infra"].permissions)}"
  }
  assert {
    condition     = { for use, grant in google_project_iam_member.infra : use => grant.role } == { read = "projects/p/roles/infra", pools = "roles/iam.workloadIdentityPoolViewer" }
    error_message = "The identity of plans has another permission on the project."
  }
  assert {
    condition     = contains(google_project_iam_custom_role.infra["infra"].permissions, "serviceusage.services.use")
    error_message = "With a budget, requests name the project."
  }
  assert {
    condition     = google_storage_bucket_iam_member.state["infra"].bucket == "faces-project-terraform" && google_storage_bucket_iam_member.state["infra"].role == "roles/storage.objectViewer"
    error_message = "The identity of plans may write the state, or read another bucket."
  }
  assert {
    condition     = google_iam_workload_identity_pool_provider.infra["infra"].attribute_condition == "assertion.project_id == \"4711\" && assertion.ref_protected == \"true\" && assertion.ref_path in [\"refs/heads/main\"] && assertion.environment == \"infrastructure\""
    error_message = "Another project, branch or environment can plan."
  }
  assert {
    condition     = strcontains(output.gitlab_setup, " infra.json 'infrastructure'") && strcontains(output.gitlab_setup, "variable STATE_BUCKET 'faces-project-terraform'")
    error_message = "GitLab lacks the identity of plans: ${output.gitlab_setup}"
  }
}

run "plans_of_merge_requests_are_those_of_one_other_protected_branch" {
  variables {
    state_bucket        = "faces-project-terraform"
    gitlab_project_path = "group/age-gender"
    gitlab_infra_branch = "infra"
  }
  assert {
    condition     = strcontains(google_iam_workload_identity_pool_provider.infra["infra"].attribute_condition, "assertion.ref_protected == \"true\" && assertion.ref_path in [\"refs/heads/main\",\"refs/heads/infra\"] && assertion.ci_config_ref_uri == \"gitlab.com/group/age-gender//.gitlab-ci.yml@\" + assertion.ref_path && ")
    error_message = "Another branch can plan, or another file defines the job."
  }
  assert {
    condition     = !strcontains(google_iam_workload_identity_pool_provider.training.attribute_condition, "infra") && !strcontains(google_iam_workload_identity_pool_provider.deployer.attribute_condition, "infra")
    error_message = "The branch of infra/ can train or deploy."
  }
}
