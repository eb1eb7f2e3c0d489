"""An image gets traffic only with a signed statement of how it was built, where signatures are asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests import statements
from tests.conftest import FUNCTION
from tests.deployment.conftest import FAST, FIRST, SECOND, Setup, training
from tests.deployment.test_rollout import CONFIG, ignored
from tests.signatures import digest, public, write_key
from training.deployment.attestation import attest, require
from training.deployment.build import source_digest
from training.deployment.deploy import deploy
from training.deployment.releases import find
from training.deployment.rollout import rollout
from training.errors import StepError
from training.registry.local import release_files
from training.registry.registry import IMAGES
from training.registry.signing import UNSIGNED, Signer, Trust, sign


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key that signs; the public one lies beside it."""
    return write_key(tmp_path_factory.mktemp("keys"), "ours", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="module")
def theirs(ours: Path) -> Path:
    """Another one."""
    return write_key(ours.parent, "theirs", ec.generate_private_key(ec.SECP256R1()))


def _attest(setup: Setup, key: Path | None, uri: str = "") -> None:
    image = replace(setup.image, uri=uri or setup.image.uri)
    release = find(setup.registry, FIRST)
    attest(setup.registry, image, release, FUNCTION, FAST, Signer(key=str(key)) if key else None)


def _files(setup: Setup) -> dict[str, bytes]:
    """Return the files of the only attestation by name."""
    storage = setup.registry.storage
    found = {file.name: storage.read(file.name) for file in storage.files(IMAGES)}
    return {name.rpartition("/")[2]: stored.data for name, stored in found.items() if stored}


def _sign_release(setup: Setup, key: Path) -> None:
    """Sign a published release, which its owner published unsigned."""
    folder = setup.folder / "release"
    folder.mkdir()
    for name, data in setup.registry.read(SECOND).files.items():
        (folder / name).write_bytes(data)
    sign(folder, Signer(key=str(key)))
    setup.owned.storage.create(f"{SECOND}/model.sig", release_files(folder)["model.sig"])


def test_deploy_attests_the_image_that_it_built(setup: Setup, ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = "https://gitlab.example.com/group/faces"
    monkeypatch.setenv("CI_JOB_URL", f"{project}/-/jobs/5")
    monkeypatch.setenv("CI_COMMIT_SHA", "0123456789abcdef0123456789abcdef01234567")
    release = find(setup.registry, SECOND)
    made = deploy(setup.service, setup.registry, release, FAST, FUNCTION, Signer(key=str(ours)))
    image = setup.service.revision(made).containers[0].image
    assert require(setup.registry, image, Trust(key=public(ours))) == f"the key {digest(ours)}"

    files = _files(setup)
    stated = statements.read(files["provenance.json"])
    definition, run = stated["predicate"]["buildDefinition"], stated["predicate"]["runDetails"]
    name, _, sha256 = image.partition("@sha256:")
    assert stated["subject"] == [{"name": name, "digest": {"sha256": sha256}}]
    materials = {each.get("name", each.get("uri")): each for each in definition["resolvedDependencies"]}
    assert materials[f"git+{project}"]["digest"]["gitCommit"].startswith("0123456789")
    assert materials["function.tar.gz"]["digest"]["sha256"].startswith(source_digest(FUNCTION))
    assert materials["base image"]["uri"].endswith("/runtimes/python311")
    assert {"configuration", "function/requirements.txt"} <= materials.keys()
    assert (run["builder"]["id"], run["metadata"]["invocationId"]) == (project, f"{project}/-/jobs/5")

    bill = files["sbom.json"].decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    components = {each["bom-ref"]: each for each in json.loads(bill)["components"]}
    assert components["model"]["hashes"][0]["content"] == release.sha256
    assert components["base"]["name"].endswith("/runtimes/python311")


def test_rollout_checks_release_and_image_before_any_traffic(setup: Setup, ours: Path) -> None:
    setup.go_live(FIRST)
    _sign_release(setup, ours)
    candidate, trust, said = setup.deploy(SECOND), Trust(key=public(ours)), list[str]()
    before = setup.service.traffic()
    with pytest.raises(StepError, match=r"no trusted signer attests the image sha256:.*has none below \.images/"):
        rollout(setup.service, setup.registry, candidate, CONFIG, ignored, trust)
    assert (setup.service.traffic(), setup.production()) == (before, FIRST)
    _attest(setup, ours)
    assert rollout(setup.service, setup.registry, candidate, CONFIG, said.append, trust) == SECOND
    assert said[0] == f"image attested by: the key {digest(ours)}"


def unsigned(setup: Setup, ours: Path, theirs: Path) -> None:
    _attest(setup, None)


def foreign(setup: Setup, ours: Path, theirs: Path) -> None:
    _attest(setup, theirs)


def of_another_image(setup: Setup, ours: Path, theirs: Path) -> None:
    other = re.sub("[0-9a-f]{64}", "0" * 64, setup.image.uri)
    _attest(setup, ours, other)
    for name, data in _files(setup).items():
        setup.registry.storage.create(f"{_folder(setup)}/1/{name}", data)


def altered(setup: Setup, ours: Path, theirs: Path) -> None:
    _attest(setup, ours)
    files = _files(setup)
    _clear(setup)
    files["sbom.json"] = files["sbom.json"].replace(b"pillow", b"pillar")
    for name, data in files.items():
        setup.registry.storage.create(f"{_folder(setup)}/1/{name}", data)


def without_provenance(setup: Setup, ours: Path, theirs: Path) -> None:
    folder = setup.folder / "attestation"
    folder.mkdir()
    (folder / "sbom.json").write_text("{}")
    sign(folder, Signer(key=str(ours)))
    for name, data in release_files(folder).items():
        setup.registry.storage.create(f"{_folder(setup)}/1/{name}", data)


def a_release(setup: Setup, ours: Path, theirs: Path) -> None:
    """The signature of a release is no attestation of an image, although the same key made it."""
    _sign_release(setup, ours)
    for name, data in setup.registry.read(SECOND).files.items():
        setup.registry.storage.create(f"{_folder(setup)}/1/{name}", data)


def _folder(setup: Setup) -> str:
    return f"{IMAGES}/{setup.image.uri.rpartition(':')[2]}"


def _clear(setup: Setup) -> None:
    for file in setup.owned.storage.files(IMAGES):
        setup.owned.storage.delete(file.name, file.generation)


@pytest.mark.parametrize(
    ("attested", "said"),
    [
        (unsigned, "has no signature, model.sig"),
        (foreign, "is signed by the key .*, trusted is the key"),
        (of_another_image, "is about .*@sha256:0000"),
        (altered, "altered sbom.json"),
        (without_provenance, "has no provenance"),
        (a_release, "has no provenance"),
    ],
)
def test_an_image_without_a_valid_attestation_is_refused(
    setup: Setup, ours: Path, theirs: Path, attested: Callable[[Setup, Path, Path], None], said: str
) -> None:
    attested(setup, ours, theirs)
    trust = Trust(key=public(ours))
    with pytest.raises(StepError, match=f"no trusted signer attests the image .*{said}.*; build it again"):
        require(setup.registry, setup.image.uri, trust)
    # Another build of the same image attests it.
    _attest(setup, ours)
    assert require(setup.registry, setup.image.uri, trust) == f"the key {digest(ours)}"


def test_images_follow_the_rule_of_releases_where_nothing_is_signed(setup: Setup, ours: Path, theirs: Path) -> None:
    assert require(setup.registry, setup.image.uri, Trust(unsigned=True)) == UNSIGNED
    _attest(setup, None)
    assert require(setup.registry, setup.image.uri, Trust(key=public(ours), unsigned=True)) == UNSIGNED
    _clear(setup)
    _attest(setup, theirs)
    with pytest.raises(StepError, match="trusted is the key"):
        require(setup.registry, setup.image.uri, Trust(key=public(ours), unsigned=True))


def test_an_image_without_a_digest_is_refused(setup: Setup, ours: Path) -> None:
    with pytest.raises(StepError, match="the image host/name:tag has no digest"):
        require(setup.registry, "host/name:tag", Trust(key=public(ours)))


def test_deploy_without_a_signer_ends_before_the_build(setup: Setup, ours: Path) -> None:
    _sign_release(setup, ours)
    before = len(setup.fake_cloud.builds.images)
    done = training("deploy", *setup.arguments, "--release", SECOND, "--trusted-key", public(ours))
    assert done.returncode == 1
    assert "nobody would sign the attestation of the image" in done.stderr
    assert len(setup.fake_cloud.builds.images) == before


def test_the_deployer_changes_no_attestation_and_publishes_no_release(setup: Setup, ours: Path) -> None:
    _attest(setup, ours)
    storage = setup.registry.storage
    file = storage.files(IMAGES)[0]
    with pytest.raises(StepError, match=r"storage\.objects\.delete"):
        storage.delete(file.name, file.generation)
    with pytest.raises(StepError, match=r"storage\.objects\.create"):
        storage.create("20261103-cccccccc/manifest.json", b"{}")
