"""A fake Google Cloud on loopback: Cloud Run, Cloud Build and Cloud Logging, as far as deployments use them.

The fake parses REST requests with Google's message types, so it refuses unknown fields, wrong enums and malformed
names. It also refuses stale etags and traffic splits that do not add up to 100 %. Builds and revisions are real: a
build unpacks and compiles the uploaded source, and every revision runs that source with functions-framework.

To run it as a process (STORAGE_EMULATOR_HOST names the storage with the bucket `run-sources-PROJECT-REGION`):

    python -m tests.fake_gcp --port 8090 --state build/cloud --service projects/P/locations/R/services/NAME

The process runs until SIGTERM or SIGINT and keeps no state. It starts with a service that runs Google's placeholder
image, as Terraform creates it. `--state` contains the built sources only. Clients find the fake through

    CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN, …_CLOUDBUILD and …_LOGGING=http://127.0.0.1:8090/

and users find the service at http://127.0.0.1:8090/run/NAME (`…/run/NAME@TAG` for a tag). The fake is ready when
`GET /` returns status 200.
"""
