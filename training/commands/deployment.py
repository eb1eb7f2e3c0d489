"""Commands that deploy releases to Cloud Run and roll them back."""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from serving.release import MANIFEST
from serving.text import printable_lines
from training.commands import Command, made_from, registry, signing
from training.deployment.config import DeployConfig, RolloutConfig, VerifyConfig
from training.errors import StepError
from training.files import write_text

if TYPE_CHECKING:
    from training.deployment.service import CloudRunService

# All of the traffic, in percent.
_ALL = 100
# Minutes of all steps; the job `rollout` ends after an hour.
_LONGEST = 45


def plan(options: argparse.Namespace) -> int:
    """Decide whether to train, to deploy or to do nothing: compare this commit with the releases and the service."""
    from training import fetch
    from training.deployment.deploy import FUNCTION
    from training.deployment.plan import made_from, plan
    from training.registry.registry import Registry

    wanted = made_from(fetch.state(options.data)) if options.data else ""
    service = _service(options) if options.service else None
    found = plan(Registry(options.registry), service, wanted, FUNCTION, by_hand=options.train)
    _print(f"{found.action}: {found.reason}")
    if options.env_file:
        options.env_file.parent.mkdir(parents=True, exist_ok=True)
        # A person may train with other values than this commit's: what the gate refuses then is another state.
        refusals = "" if options.train else options.registry
        stated = {"PLAN": found.action, "MADE_FROM": wanted, "REFUSALS": refusals}
        write_text(options.env_file, "".join(f"{name}={value}\n" for name, value in stated.items() if value))
    return 0


def _plan_arguments(parser: argparse.ArgumentParser) -> None:
    registry(parser)
    _service_argument(parser, required=False)
    parser.add_argument("--data", default="", metavar="URI", help="gs:// address of the archive of faces")
    parser.add_argument("--train", action="store_true", help="train in any case, as a pipeline started by hand does")
    parser.add_argument("--env-file", type=Path, help="file for PLAN=…, MADE_FROM=… and REFUSALS=…")


def deploy(options: argparse.Namespace) -> int:
    """Build the function and add a Cloud Run revision without traffic, tagged `candidate`."""
    from training.deployment.deploy import deploy, reuse
    from training.deployment.plan import version_of
    from training.deployment.releases import find
    from training.deployment.service import CANDIDATE
    from training.registry.registry import Registry

    service, registry, trust = _service(options), Registry(options.registry), signing.trust(options)
    # Verify the release before the build.
    version = options.release or version_of(registry, options.made_from)
    release = find(registry, version, trust)
    _print(f"release: {release.uri}, SHA-256 {release.sha256}, {MANIFEST} {release.manifest_sha256}")
    _print(f"signed by: {release.signer}")
    revision = options.if_needed and reuse(service, release)
    if not revision:
        signer = signing.signer(options)
        if signer is None and not trust.unsigned:
            raise StepError(
                "nobody would sign the attestation of the image, which `rollout` asks for; use --signing-key, or "
                "GitLab's identity in SIGSTORE_ID_TOKEN"
            )
        revision = deploy(service, registry, release, DeployConfig(), signer=signer)
    found = f"REVISION={revision}\nCANDIDATE_URL={service.address(CANDIDATE)}\n"
    _print(found.rstrip("\n"))
    if options.env_file:
        options.env_file.parent.mkdir(parents=True, exist_ok=True)
        write_text(options.env_file, found)
    return 0


def _deploy_arguments(parser: argparse.ArgumentParser) -> None:
    _service_argument(parser)
    registry(parser)
    parser.add_argument("--release", default="", metavar="VERSION", help="release to serve (default: production)")
    made_from(parser, "serve the newest release that was made from this state, if there is one")
    parser.add_argument(
        "--if-needed", action="store_true", help="add no revision if the live one has this function and release"
    )
    parser.add_argument("--env-file", type=Path, help="file for REVISION=… and CANDIDATE_URL=…")
    signing.trust_arguments(parser)
    signing.signing_key(parser, "the attestation of the image")


def verify(options: argparse.Namespace) -> int:
    """Send test requests to the candidate and compare it with production. Exit code 1: a check failed."""
    from training.deployment.probe_images import drawn, real
    from training.deployment.verification import verify

    config = VerifyConfig()
    images = real(options.faces, config.faces) if options.faces else drawn(config.faces)
    found = verify(_service(options), options.revision, images, config)
    _print("\n".join(map(str, [*found.checks, "", *found.comparison])))
    _print(f"\nverification failed: {', '.join(found.failed)}" if found.failed else "\nverified")
    return 1 if found.failed else 0


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    _service_argument(parser)
    _revision_argument(parser)
    parser.add_argument("--faces", type=Path, metavar="FOLDER", help="folder of real test faces (default: drawn faces)")


def rollout(options: argparse.Namespace) -> int:
    """Shift traffic to the candidate: a canary first, then all. On failure all traffic returns to production."""
    from training import notices
    from training.deployment.rollout import RefusedError, rollout
    from training.registry.registry import Registry

    chosen = {name: value for name in ("steps", "minutes", "longest") if (value := getattr(options, name)) is not None}
    config = dataclasses.replace(RolloutConfig(), **chosen)
    # The job of GitLab ends after an hour.
    if len(config.steps) * config.minutes > _LONGEST:
        raise StepError(
            f"{len(config.steps)} steps of {config.minutes:g} minutes take longer than {_LONGEST} minutes, for which "
            "the job has time; choose fewer --minutes (GitLab: WATCH_MINUTES) or fewer --steps"
        )
    config = dataclasses.replace(config, longest=min(config.longest, _LONGEST / len(config.steps)))
    try:
        version = rollout(
            _service(options),
            Registry(options.registry),
            options.revision,
            config,
            _print,
            signing.trust_if_any(options),
        )
    except RefusedError as refusal:
        notices.send(f"users were taken off {options.revision}: {refusal}")
        raise
    notices.send(f"release {version} is live as {options.revision}")
    _print(f"production: {version}")
    return 0


def _rollout_arguments(parser: argparse.ArgumentParser) -> None:
    _service_argument(parser)
    registry(parser)
    _revision_argument(parser)
    default = RolloutConfig()
    parser.add_argument(
        "--steps",
        type=_steps,
        metavar="PERCENT,…",
        help="shares of the traffic, one after the other, before all of it, for example 1,10,50 (default: 10)",
    )
    parser.add_argument("--minutes", type=_minutes, help=f"duration of each step (default: {default.minutes:g})")
    parser.add_argument(
        "--longest",
        type=_minutes,
        metavar="MINUTES",
        help=f"duration up to which a step with too few users is lengthened (default: {default.longest:g})",
    )
    signing.trust_arguments(parser)


def _steps(text: str) -> tuple[int, ...]:
    """Return rising shares of 1 to 99 %, for argparse."""
    found = tuple(int(each) for each in text.split(",") if each.isdecimal())
    rising = list(found) == sorted({each for each in found if 1 <= each < _ALL})
    if not (found and rising and len(found) == text.count(",") + 1):
        raise argparse.ArgumentTypeError(f"expected rising percentages from 1 to 99 such as 1,10,50, got {text!r}")
    return found


def _minutes(text: str) -> float:
    """Return a duration above 0, for argparse."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of minutes above 0, got {text!r}")
    return found


def settle(options: argparse.Namespace) -> int:
    """End a rollout that nobody watches any more: users return to the former revision, or the pointer is completed."""
    from training.deployment.settle import settle
    from training.registry.registry import Registry

    trust = signing.trust_if_any(options)
    _print(settle(_service(options), Registry(options.registry), trust, ended=options.ended))
    return 0


def _settle_arguments(parser: argparse.ArgumentParser) -> None:
    _service_argument(parser)
    registry(parser)
    parser.add_argument("--ended", action="store_true", help="also a rollout whose time is not up: its job has ended")
    signing.trust_arguments(parser)


def discard(options: argparse.Namespace) -> int:
    """Remove the candidate's address and any traffic left by an interrupted rollout."""
    from training.deployment.deploy import discard

    _print(f"removed candidate: {discard(_service(options)) or 'none'}")
    return 0


def rollback(options: argparse.Namespace) -> int:
    """Roll back to the previous release or to VERSION: the traffic of --service, then the pointer `production`."""
    from training import notices
    from training.registry.registry import Registry

    registry, trust = Registry(options.registry), signing.trust_if_any(options)
    if options.service:
        from training.deployment.rollback import rollback

        _print(f"all traffic goes to {rollback(_service(options), registry, options.version, trust)}")
    else:
        registry.rollback(options.version, trust)
    version = registry.in_production()
    notices.send(f"rolled back to release {version}")
    _print(f"production: {version}")
    return 0


def _rollback_arguments(parser: argparse.ArgumentParser) -> None:
    registry(parser)
    _service_argument(parser, required=False)
    parser.add_argument("version", nargs="?", default="", help="earlier release (default: the previous one)")
    signing.trust_arguments(parser)


def _print(text: str) -> None:
    """Print text that may quote logs, services and registries."""
    print(printable_lines(text), flush=True)


def _service(options: argparse.Namespace) -> CloudRunService:
    from training.deployment.resources import ServiceName
    from training.deployment.service import CloudRunService

    return CloudRunService(ServiceName.of(options.service), DeployConfig())


def _service_argument(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument("--service", required=required, help="projects/PROJECT/locations/REGION/services/NAME")


def _revision_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--revision", required=True, help="revision name printed by `deploy`")


COMMANDS = (
    Command(plan, _plan_arguments),
    Command(deploy, _deploy_arguments),
    Command(verify, _verify_arguments),
    Command(rollout, _rollout_arguments),
    Command(settle, _settle_arguments),
    Command(discard, _service_argument),
    Command(rollback, _rollback_arguments),
)
