output "gitlab_setup" {
  description = "Script that sets the CI/CD variables, the keyless credential files and one setting of the GitLab project, and checks them: `terraform output -raw gitlab_setup | sh`, in a clone of the project. It can be run again. The files contain no secret."
  value = join("\n", [
    file("${path.module}/gitlab_setup.sh"),
    "pipeline_variables maintainer",
    join("\n", [for name, value in local.variables : "variable ${name} '${value}'" if value != ""]),
    join("\n", [
      for identity, use in local.credentials :
      "credential ${use.provider} ${use.email} ${identity}.json ${join(" ", [for scope in use.scopes : "'${scope}'"])}"
    ]),
    "echo 'GitLab is set up'",
  ])
}

output "upload_faces" {
  description = "Command that uploads an archive of faces for the pipeline."
  value       = "gcloud storage cp faces.tar.gz gs://${google_storage_bucket.data.name}/"
}

output "deploy" {
  description = "Command that deploys function/ with the release in production, like the pipeline. Run it in the project's root."
  value       = "python -m training deploy --service ${local.service} --registry gs://${google_storage_bucket.releases.name}"
}

output "change_settings" {
  description = "Command that applies `settings` to the service, in a revision without traffic. The next deployment uses them."
  value       = "gcloud run services update ${var.name} ${local.where} --no-traffic --update-env-vars='^;^${join(";", [for name, value in var.settings : "${name}=${value}"])}'"
}

output "roll_back" {
  description = "Commands that send all traffic to an earlier revision if the pipeline cannot. Replace REVISION with a revision of the list."
  value       = <<-EOT
    gcloud run revisions list --service=${var.name} ${local.where}
    gcloud run services update-traffic ${var.name} ${local.where} --to-revisions=REVISION=100
  EOT
}

output "tear_down" {
  description = "Commands that permanently delete all faces, releases and logs, which `terraform destroy` refuses to do."
  value       = <<-EOT
    gcloud storage objects update 'gs://${google_storage_bucket.releases.name}/**' --no-temporary-hold
    gcloud storage rm 'gs://${google_storage_bucket.data.name}/**' 'gs://${google_storage_bucket.work.name}/**' 'gs://${google_storage_bucket.releases.name}/**' 'gs://${google_storage_bucket.logs.name}/**' --all-versions
  EOT
}

output "gpu_runner" {
  description = "Commands that store the token of the GPU runner (GitLab: Settings > CI/CD > Runners, tag `gpu`), direct training jobs to it and start it."
  value = join("\n", flatten([
    for runner in local.gpu_runner : [
      "gcloud secrets versions add ${runner}-token --project=${var.project_id} --data-file=token",
      "glab variable update GPU_RUNNER_TAG gpu || glab variable set GPU_RUNNER_TAG gpu",
      "gcloud compute instances start ${runner} --project=${var.project_id} --zone=${var.gpu_runner_zone}",
    ]
  ]))
}

locals {
  # Cloud Run's name of the service. The id in the state may differ.
  service = "projects/${var.project_id}/locations/${var.region}/services/${google_cloud_run_v2_service.function.name}"
  where   = "--project=${var.project_id} --region=${var.region}"

  variables = {
    DATA_BUCKET          = "gs://${google_storage_bucket.data.name}"
    GOOGLE_CLOUD_PROJECT = var.project_id
    INFRA_BRANCH         = var.gitlab_infra_branch
    LOG_URI              = "gs://${google_storage_bucket.logs.name}"
    REGISTRY             = "gs://${google_storage_bucket.releases.name}"
    SERVICE              = local.service
    SERVICE_URL          = google_cloud_run_v2_service.function.uri
    STATE_BUCKET         = var.state_bucket
    WORK_BUCKET          = "gs://${google_storage_bucket.work.name}"
    # Identity that must sign releases: this project's pipeline on its branch.
    TRUSTED_IDENTITY = local.gitlab_config == "" ? "" : "https://${local.gitlab_config}"
  }

  credentials = merge({
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
    }, {
    for identity in local.plan_identity : identity => {
      email    = google_service_account.infra[identity].email
      provider = google_iam_workload_identity_pool_provider.infra[identity].name
      scopes   = [local.plan_environment]
    }
  })
}
