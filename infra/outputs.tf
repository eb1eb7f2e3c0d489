output "gitlab_variables" {
  description = "Sets the pipeline's variables: `terraform output -raw gitlab_variables | sh`, inside a clone of the GitLab project."
  value       = <<-EOT
    glab variable set GOOGLE_CLOUD_PROJECT ${var.project_id}
    glab variable set DATA_BUCKET gs://${google_storage_bucket.data.name}
    glab variable set REGISTRY gs://${google_storage_bucket.releases.name}
  EOT
}

output "gitlab_credentials" {
  description = "Makes the two keyless credential files and hands them to GitLab, one an environment: `terraform output -raw gitlab_credentials | sh`. They hold no secret."
  value = join("\n", flatten([
    for identity, use in local.credentials : [
      "gcloud iam workload-identity-pools create-cred-config ${use.provider} --service-account=${use.email} --credential-source-file=build/gitlab-oidc-token --output-file=${identity}.json",
      "glab variable set GOOGLE_APPLICATION_CREDENTIALS --type file --scope '${use.scope}' < ${identity}.json",
    ]
  ]))
}

output "upload_faces" {
  description = "Puts an archive of faces where the pipeline fetches it."
  value       = "gcloud storage cp faces.tar.gz gs://${google_storage_bucket.data.name}/"
}

output "deploy" {
  description = "Deploys the function with one release; replace VERSION and SHA256 by the release's."
  value       = <<-EOT
    gcloud run deploy ${var.name} \
      --project=${var.project_id} --region=${var.region} \
      --source=function --function=predict --base-image=python311 \
      --service-account=${google_service_account.runtime.email} \
      --build-service-account=${google_service_account.builder.name} \
      --set-env-vars=MODEL_URI=gs://${google_storage_bucket.releases.name}/VERSION,MODEL_SHA256=SHA256 \
      --cpu=1 --memory=512Mi --cpu-boost --no-allow-unauthenticated
  EOT
}

locals {
  credentials = {
    training = {
      email    = google_service_account.training.email
      provider = google_iam_workload_identity_pool_provider.training.name
      scope    = "*"
    }
    deployer = {
      email    = google_service_account.deployer.email
      provider = google_iam_workload_identity_pool_provider.deployer.name
      scope    = "production"
    }
  }
}
