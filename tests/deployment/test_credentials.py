"""Google's libraries get the identity of a job of GitLab, and Google Cloud refuses what infra/ does not grant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from google.cloud import run_v2

from serving import release
from serving.release import Pins, ReleaseError
from tests import federation
from tests.conftest import FUNCTION
from tests.deployment.conftest import FAST, FIRST, SECOND, Setup, release_of
from tests.fake_gcp import tokens
from training.deployment import deploy, identity
from training.deployment.clients import client
from training.deployment.plan import NOTHING, plan
from training.deployment.releases import find
from training.deployment.service import CloudRunService
from training.errors import StepError
from training.evaluation import champion
from training.learning import teacher
from training.registry import releases
from training.registry.addresses import open_storage
from training.registry.registry import Registry

Become = Callable[..., None]


@pytest.fixture
def become(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Become:
    """Return a function that gives the tests the identity of a job with these claims."""

    def changed(environment: str = "", **claims: object) -> None:
        for name, value in federation.job(tmp_path, environment, **claims).items():
            monkeypatch.setenv(name, value)

    return changed


def test_every_reader_of_releases_knows_the_identity_of_gitlab(setup: Setup, become: Become) -> None:
    become()
    uri = f"{setup.registry.uri}/{SECOND}"
    registry = Registry(setup.registry.uri)
    assert champion.in_production(registry).version == FIRST
    assert champion.named(uri).version == SECOND
    assert releases.release_at(uri) == {"version": SECOND, "sha256": releases.read(uri).digest("model.tflite")}
    assert teacher.load((uri,))[0].release.version == SECOND


def test_the_functions_loader_does_not_know_the_identity_of_gitlab(setup: Setup, become: Become) -> None:
    """The function has an account of its own, so its library need not know GitLab's."""
    become()
    with pytest.raises(ReleaseError, match="have the type 'external_account'"):
        release.load(f"{setup.registry.uri}/{SECOND}", Pins())


def test_without_its_token_a_job_reads_nothing(setup: Setup, become: Become, tmp_path: Path) -> None:
    become()
    (tmp_path / "gitlab-oidc-token").unlink()
    with pytest.raises(StepError, match="gitlab-oidc-token' was not found"):
        releases.read(f"{setup.registry.uri}/{FIRST}")


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"seconds": -1}, "the token has expired"),
        ({"project_id": "4712"}, "rejected by the attribute condition"),
        ({"ref_protected": "false"}, "rejected by the attribute condition"),
        ({"ref_path": "refs/heads/other"}, "rejected by the attribute condition"),
        ({"ref_path": "refs/tags/v1"}, "rejected by the attribute condition"),
        ({"ci_config_ref_uri": "gitlab.com/else/where//.gitlab-ci.yml@refs/heads/main"}, "rejected by the attribute"),
        ({"iss": "https://gitlab.example.com"}, "issuer or the audience"),
    ],
)
def test_tokens_of_other_jobs_are_refused(setup: Setup, become: Become, claims: dict[str, object], said: str) -> None:
    become(**claims)
    with pytest.raises(StepError, match=said):
        releases.read(f"{setup.registry.uri}/{FIRST}")


def test_a_job_of_no_environment_does_not_deploy(setup: Setup, become: Become) -> None:
    become()
    service = CloudRunService(setup.service.name, FAST)
    with pytest.raises(StepError, match=r"Permission 'run.services.update' denied on service"):
        deploy.add_candidate(service, find(setup.registry, FIRST), setup.image)


def test_a_plan_reads_the_live_revision_with_the_identity_of_a_training(setup: Setup, become: Become) -> None:
    setup.go_live()
    become()
    service, registry = CloudRunService(setup.service.name, FAST), Registry(setup.registry.uri)
    assert plan(registry, service, "", FUNCTION, by_hand=False).action == NOTHING


def test_the_subject_of_a_long_path_and_branch_fits(setup: Setup, become: Become) -> None:
    become(sub="project_path:" + "group/" * 30 + ":ref_type:branch:ref:main")
    assert releases.read(f"{setup.registry.uri}/{FIRST}").version == FIRST


def test_nobody_overwrites_or_prunes_a_release(setup: Setup, become: Become) -> None:
    for environment in ("", "production"):
        become(environment)
        storage = open_storage(setup.registry.uri)
        found = storage.read(f"{FIRST}/manifest.json")
        assert found
        with pytest.raises(StepError, match=r"storage.objects.(create|delete)"):
            storage.replace(f"{FIRST}/manifest.json", b"{}", found.generation)
        with pytest.raises(StepError, match=r"storage.objects.delete"):
            storage.delete(f"{FIRST}/manifest.json", found.generation)


def test_a_training_publishes_and_does_not_promote(setup: Setup, become: Become) -> None:
    become()
    registry = Registry(setup.registry.uri)
    registry.publish("20261104-dddddddd", release_of("20261104-dddddddd"))
    with pytest.raises(StepError, match=r"storage.objects"):
        registry.promote("20261104-dddddddd")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": f"Bearer {tokens.issue(tokens.ACCESS, -1, members=['deployer'])}"}, 401),
        ({"Authorization": f"Bearer {tokens.issue('https://other', members=['deployer'])}"}, 401),
        ({"Authorization": f"Bearer {tokens.issue(tokens.ACCESS, members=['runtime'])}"}, 403),
    ],
    ids=["none", "expired", "of another service", "of another account"],
)
def test_an_api_asks_for_a_token_and_a_permission(setup: Setup, headers: dict[str, str], status: int) -> None:
    address = f"{setup.fake_cloud.url}/v2/{setup.service.name}"
    assert httpx.get(address, headers=headers).status_code == status


def test_a_private_service_asks_for_an_identity_token(setup: Setup) -> None:
    address = setup.service.address()
    anonymous = httpx.get(f"{address}/health")
    expired = {"Authorization": f"Bearer {tokens.issue(address, -1, members=['deployer'])}"}
    assert (anonymous.status_code, httpx.get(f"{address}/health", headers=expired).status_code) == (401, 401)
    own = {"Authorization": f"Bearer {identity.token(address)}"}
    assert httpx.get(f"{address}/health", headers=own).status_code == 200


def test_a_client_without_credentials_is_refused_before_it_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent.json")
    with pytest.raises(StepError, match="gcloud auth application-default login"):
        client(run_v2.ServicesClient)


def test_builds_and_revisions_read_with_accounts_of_their_own(setup: Setup) -> None:
    """Without its account's grant neither would find its files."""
    builds = setup.fake_cloud.builds
    release, sources = f"faces-project-releases/{FIRST}/manifest.json", "run-sources-faces-project-europe-west1"
    assert httpx.get(f"{builds.releases}/{release}").status_code == 200
    assert httpx.get(f"{builds.sources}/{release}").status_code == 403
    assert httpx.get(f"{builds.releases}/storage/v1/b/{sources}/o").status_code == 403
