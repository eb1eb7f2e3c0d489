"""A fake Google Cloud on loopback: Cloud Run, Cloud Build and Cloud Logging, as far as deployments use them.

The fake checks each request and each of its own answers against Google's discovery documents (`discovery`): method,
path, parameters and body. It also refuses stale etags and traffic splits that do not add up to 100 %. Builds and
revisions are real: a build unpacks and compiles the uploaded source, and every revision runs that source with
functions-framework.

Every call needs an access token with the permission that the call has in `roles`, as infra/ grants it (`access`), and
every request to a service needs an identity token. `iam` issues both for GitLab's token.

To run it as a process, with the addresses of the storage that builds and revisions read:

    python -m tests.fake_gcp --state build/cloud --sources URL --releases URL --service projects/P/…/services/NAME

The process runs until SIGTERM or SIGINT and keeps no state. It starts with a service that runs Google's placeholder
image, as Terraform creates it. `--state` contains the built sources only. Clients find the fake at Google's addresses
(`internet`), and users find the service at https://faces.a.run.app/run/NAME (`…/run/NAME@TAG` for a tag). The fake is
ready when `GET /` returns status 200.
"""
