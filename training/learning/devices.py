"""Devices of a training: a CPU, the GPUs of this machine, or several machines."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace

import keras
import tensorflow as tf

from training.config import TrainConfig
from training.errors import StepError

# Machines from which on they train together.
_SEVERAL = 2


def require_gpu() -> None:
    """Check that this machine has a GPU.

    Raises:
        StepError: TensorFlow finds none: there is none, or its driver or libraries are missing.
    """
    if not tf.config.list_physical_devices("GPU"):
        raise StepError(
            "TensorFlow finds no GPU on this machine: check the runner's driver (nvidia-smi) and the image's CUDA "
            "libraries (training/requirements-gpu.txt), or train without one by --device any (GitLab: TRAIN_DEVICE=any)"
        )


def strategy() -> tf.distribute.Strategy:
    """Return the strategy for all devices, and print them. Machines find each other through TF_CONFIG.

    Raises:
        StepError: TF_CONFIG is invalid.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        keras.mixed_precision.set_global_policy("mixed_float16")
    machines = _machines()
    if machines > 1:
        # Created before anything lists TensorFlow's devices: the other machines must be known first.
        found = tf.distribute.MultiWorkerMirroredStrategy()
    else:
        devices = tf.config.list_logical_devices("GPU" if gpus else "CPU")
        several = [device.name for device in devices]
        found = tf.distribute.MirroredStrategy(several) if len(several) > 1 else tf.distribute.get_strategy()
    here = f"{len(gpus)} GPU(s) with mixed precision" if gpus else f"the CPU ({os.cpu_count()} cores), no GPU found"
    print(f"training on {machines} machine(s), {found.num_replicas_in_sync} device(s) in total; this machine: {here}")
    return found


def scaled(config: TrainConfig, devices: int) -> TrainConfig:
    """Return `config` with a batch `devices` times as large.

    The learning rate grows with the square root of the batch (Malladi et al. 2022, arXiv:2205.10287). An epoch is still
    one pass over the faces, so it has fewer steps.
    """
    return replace(config, batch=config.batch * devices, learning_rate=config.learning_rate * math.sqrt(devices))


def agreed(epoch: int, among: tf.distribute.Strategy) -> int:
    """Return the smallest `epoch` of all machines: the last checkpoint that all of them have."""
    epochs = among.gather(among.run(lambda: tf.constant([epoch])), axis=0)
    return int(tf.reduce_min(epochs))


def is_chief() -> bool:
    """Return whether this machine logs for all: the only one, the chief, or the first worker without a chief."""
    described = json.loads(os.environ.get("TF_CONFIG") or "{}")
    if _machines() < _SEVERAL:
        return True
    task, kind = described["task"], "chief" if described["cluster"].get("chief") else "worker"
    return (task["type"], task["index"]) == (kind, 0)


def _machines() -> int:
    """Return the number of machines in TF_CONFIG. One machine alone needs no task."""
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        described = json.loads(text)
        cluster, task = described.get("cluster", {}), described.get("task", {})
        counts = {role: len(_addresses(members)) for role, members in cluster.items()}
        machines = sum(counts.values())
        known = set(counts) <= {"chief", "worker"}
        placed = machines < _SEVERAL or task["index"] in range(counts[task["type"]])
    except (ValueError, KeyError, TypeError, AttributeError):
        known = placed = False
    if not (known and placed):
        raise StepError(
            f"TF_CONFIG is {text!r}; expected "
            '{"cluster": {"chief": ["host:port"], "worker": ["host:port", ...]}, '
            '"task": {"type": "worker", "index": 0}}, with or without a chief'
        )
    return max(1, machines)


def _addresses(members: object) -> list[str]:
    if not (isinstance(members, list) and all(isinstance(member, str) for member in members)):
        raise TypeError("a role of a cluster has a list of addresses")
    return members
