output "gitlab_variables" {
  description = "Sets the pipeline's variables: `terraform output -raw gitlab_variables | sh`, inside a clone of the GitLab project."
  value       = join("\n", [for name, value in local.variables : "glab variable set ${name} ${value}" if value != ""])
}

output "gitlab_credentials" {
  description = "Makes the two keyless credential files and hands them to GitLab, one an environment: `terraform output -raw gitlab_credentials | sh`. They hold no secret."
  value = join("\n", flatten([
    for identity, use in local.credentials : [
      "gcloud iam workload-identity-pools create-cred-config ${use.provider} --service-account=${use.email} --credential-source-file=build/gitlab-oidc-token --output-file=${identity}.json",
      join("\n", [
        for scope in use.scopes :
        "glab variable set GOOGLE_APPLICATION_CREDENTIALS --type file --scope '${scope}' < ${identity}.json"
      ]),
    ]
  ]))
}

output "upload_faces" {
  description = "Puts an archive of faces where the pipeline fetches it."
  value       = "gcloud storage cp faces.tar.gz gs://${google_storage_bucket.data.name}/"
}

output "deploy" {
  description = "Deploys function/ with the release in production, as the pipeline does; from the project's root."
  value       = "python -m training deploy --service ${local.service} --registry gs://${google_storage_bucket.releases.name}"
}

output "change_settings" {
  description = "Brings `settings` onto the service, in a revision that nobody is served by; the next deployment takes them over."
  value       = "gcloud run services update ${var.name} ${local.where} --no-traffic --update-env-vars='^;^${join(";", [for name, value in var.settings : "${name}=${value}"])}'"
}

output "roll_back" {
  description = "Sends all traffic to an earlier revision, where the pipeline can't; replace REVISION by one of the list."
  value       = <<-EOT
    gcloud run revisions list --service=${var.name} ${local.where}
    gcloud run services update-traffic ${var.name} ${local.where} --to-revisions=REVISION=100
  EOT
}

output "tear_down" {
  description = "Deletes what `terraform destroy` refuses to: all faces, releases and logs, for good."
  value       = <<-EOT
    gcloud storage objects update 'gs://${google_storage_bucket.releases.name}/**' --no-temporary-hold
    gcloud storage rm 'gs://${google_storage_bucket.data.name}/**' 'gs://${google_storage_bucket.releases.name}/**' 'gs://${google_storage_bucket.logs.name}/**' --all-versions
  EOT
}

output "gpu_runner" {
  description = "Gives the GPU machine its token (GitLab: Settings > CI/CD > Runners, tag `gpu`), has jobs go there, and starts it."
  value = join("\n", flatten([
    for runner in local.gpu_runner : [
      "gcloud secrets versions add ${runner}-token --project=${var.project_id} --data-file=token",
      "glab variable set GPU_RUNNER_TAG gpu",
      "gcloud compute instances start ${runner} --project=${var.project_id} --zone=${var.gpu_runner_zone}",
    ]
  ]))
}

locals {
  # As Cloud Run names it, which an id in the state need not.
  service = "projects/${var.project_id}/locations/${var.region}/services/${google_cloud_run_v2_service.function.name}"
  where   = "--project=${var.project_id} --region=${var.region}"

  variables = {
    DATA_BUCKET          = "gs://${google_storage_bucket.data.name}"
    GOOGLE_CLOUD_PROJECT = var.project_id
    LOG_URI              = "gs://${google_storage_bucket.logs.name}"
    REGISTRY             = "gs://${google_storage_bucket.releases.name}"
    SERVICE              = local.service
    SERVICE_URL          = google_cloud_run_v2_service.function.uri
    # Whose signature a release must carry: this project's pipeline on its default branch.
    TRUSTED_IDENTITY = var.gitlab_project_path == "" ? "" : "${var.gitlab_url}/${var.gitlab_project_path}//.gitlab-ci.yml@refs/heads/main"
  }

  credentials = {
    training = {
      email    = google_service_account.training.email
      provider = google_iam_workload_identity_pool_provider.training.name
      scopes   = ["*"]
    }
    deployer = {
      email    = google_service_account.deployer.email
      provider = google_iam_workload_identity_pool_provider.deployer.name
      scopes   = local.gitlab_environments
    }
  }
}
