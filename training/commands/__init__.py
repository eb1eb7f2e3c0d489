"""Commands of the command line: each is a function of its options, with a function that adds its arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.presets import PRESETS, RENAMED

# Default registry of `make pipeline`.
REGISTRY = "build/registry"


@dataclass(frozen=True)
class Command:
    """A command with the name of its function and its docstring as help."""

    run: Callable[[argparse.Namespace], int]
    """Function from the options to the exit code."""
    arguments: Callable[[argparse.ArgumentParser], None]
    """Function that adds the arguments to a parser."""
    takes_beam_options: bool = False
    """Whether unknown options are Beam's. They become the option `beam`."""

    @property
    def name(self) -> str:
        """Return the name on the command line."""
        return self.run.__name__.replace("_", "-")


def work(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder of the pipeline's files."""
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/pipeline"),
        help="folder for the files of all steps (default: build/pipeline)",
    )


def registry(parser: argparse.ArgumentParser) -> None:
    """Add the option for the registry."""
    parser.add_argument("--registry", required=True, help="folder or gs://bucket/path of the registry")


def positive(text: str) -> int:
    """Return an integer above 0, for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected an integer above 0, got {text!r}")
    return number


def listed_registry(parser: argparse.ArgumentParser) -> None:
    """Add the option for the registry, by default that of `make pipeline`, for commands that only read."""
    parser.add_argument(
        "--registry", default=REGISTRY, help=f"folder or gs://bucket/path of the registry (default: {REGISTRY})"
    )


def preset_name(name: str) -> str:
    """Return the name of a preset, for argparse. A former name is refused with the new one."""
    if name in RENAMED:
        raise argparse.ArgumentTypeError(f"{name} is now {RENAMED[name]}: rename it")
    return name


def preset(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add the option for the preset. `purpose` completes the help."""
    parser.add_argument(
        "--preset", type=preset_name, choices=PRESETS, default="default", help=f"{purpose} (default: default)"
    )


def force(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add the option that runs a step with nothing to do. `purpose` is its help."""
    parser.add_argument("--force", action="store_true", help=purpose)


def made_from(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add the option for the digest of the state that a release is made from. `purpose` completes the help."""
    parser.add_argument(
        "--made-from",
        default="",
        metavar="DIGEST",
        help=f"digest of data, code and configuration as `plan` writes it: {purpose}",
    )
