"""The command that prepares faces on Apache Beam."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from age_gender import quiet
from serving import addresses
from serving.addresses import AddressError
from training.commands import Command
from training.commands.data import face_arguments, label_arguments, prepare_config, report
from training.errors import StepError

if TYPE_CHECKING:
    from training.data.beam_source import BeamSource
    from training.data.labelling import Labelling


def prepare_beam(options: argparse.Namespace) -> int:
    """Do what `prepare` does with the workers of Apache Beam, from and to gs://. Further options are Beam's."""
    config = prepare_config(options)
    try:
        with quiet.imports():
            from apache_beam.io.filesystem import BeamIOError
            from google.api_core.exceptions import GoogleAPIError
            from google.auth.exceptions import GoogleAuthError

            from age_gender import pipelines
            from training import prepare_beam as step
    except ImportError as error:
        raise StepError(f"{error.name} is missing: pip install '.[batch]' installs it") from error
    try:
        beam = pipelines.options(options.beam)
    except pipelines.UnknownOptionsError as error:
        raise StepError(f"unknown to prepare-beam and to Beam: {error}") from error
    data = f"{options.work}/data"
    try:
        source = step.source(options.data, data, beam)
        labels = _labelling(options, source)
        for line in labels.description():
            print(line, flush=True)
        fingerprint, gaps = step.prepare_beam(source, data, config, options.expect, labels, beam)
    except (BeamIOError, GoogleAPIError, GoogleAuthError) as error:
        raise StepError(
            f"Cloud Storage refuses: {pipelines.reason(error)}; check the addresses and your permissions"
        ) from error
    report(fingerprint, labels, gaps, data)
    return 0


def _labelling(options: argparse.Namespace, source: BeamSource) -> Labelling:
    from training.data import labelling
    from training.data.label_options import LabelOptions

    chosen = LabelOptions(tuple(map(Path, options.labels)), options.columns, options.values, options.group)
    return labelling.read(options.data, [] if chosen.names else source.tables(options.labels), chosen)


def _prepare_beam_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=_address, required=True, help="folder of faces, local or gs://, or gs:// pattern"
    )
    parser.add_argument(
        "--work",
        type=_address,
        required=True,
        help="folder, local or gs://; the files are written into its folder data",
    )
    label_arguments(parser, _address)
    face_arguments(parser)


def _address(text: str) -> str:
    """Return an address, or let argparse refuse what is none."""
    try:
        return str(addresses.parse(text))
    except AddressError as error:
        raise argparse.ArgumentTypeError(f"{error}") from error


COMMANDS = (Command(prepare_beam, _prepare_beam_arguments, takes_beam_options=True),)
