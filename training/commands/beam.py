"""The command that prepares faces on Apache Beam."""

from __future__ import annotations

import argparse
from pathlib import Path

from age_gender import quiet
from serving import addresses
from serving.addresses import AddressError
from training.commands import Command
from training.commands.data import face_arguments, label_arguments, prepare_config, report
from training.errors import StepError


def prepare_beam(options: argparse.Namespace) -> int:
    """Do what `prepare` does with the workers of Apache Beam, from and to gs://. Further options are Beam's."""
    config = prepare_config(options)
    try:
        with quiet.imports():
            from apache_beam.io.filesystems import FileSystems

            from age_gender import pipelines
            from training.data.beam_source import BeamSource, in_cloud
            from training.prepare_beam import prepare_beam
    except ImportError as error:
        raise StepError(f"{error.name} is missing: pip install '.[batch]' installs it") from error
    from training.data import labelling
    from training.data.label_options import LabelOptions

    try:
        beam = pipelines.options(options.beam)
    except pipelines.UnknownOptionsError as error:
        raise StepError(f"unknown to prepare-beam and to Beam: {error}") from error
    data = f"{options.work}/data"
    if "Dataflow" in beam.get_all_options()["runner"] and not (in_cloud(options.data) and in_cloud(data)):
        raise StepError("Dataflow's workers see no folder of this machine; give gs:// addresses for --data and --work")
    FileSystems.set_options(beam)
    source = BeamSource(options.data)
    chosen = LabelOptions(tuple(map(Path, options.labels)), options.columns, options.values, options.group)
    files = [] if chosen.names else source.tables(options.labels)
    labels = labelling.read(options.data, files, chosen)
    for line in labels.description():
        print(line, flush=True)
    fingerprint, gaps = prepare_beam(source, data, config, options.expect, labels, beam)
    report(fingerprint, labels, gaps, data)
    return 0


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
