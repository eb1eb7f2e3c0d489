"""A loopback double of what the deployment calls of Google Cloud: Cloud Run, Cloud Build and Cloud Logging.

It speaks the REST form of their APIs with Google's own message types, so that an unknown field, a wrong enum or a
malformed name is refused, and it behaves as they do where a deployment could go wrong: stale etags, traffic that does
not add up, revisions that do not start. What it builds and serves is real: a build unpacks the uploaded source as the
buildpack would leave it, and every revision is that source under functions-framework.

As a process of its own (STORAGE_EMULATOR_HOST names the storage that holds `run-sources-PROJECT-REGION`):

    python -m tests.fake_gcp --port 8090 --state build/cloud --service projects/P/locations/R/services/NAME

It serves until SIGTERM or SIGINT, has the service with Google's placeholder image as Terraform leaves it, and forgets
everything at its end; `--state` only holds the built sources. Clients find it through

    CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN, …_CLOUDBUILD and …_LOGGING=http://127.0.0.1:8090/

and users of the service at http://127.0.0.1:8090/run/NAME (`uri` of the service; `…/run/NAME@TAG` for a tag). It is
ready when `GET /` answers 200.
"""
