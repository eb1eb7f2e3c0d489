"""Trainable weights in a release, from which later trainings start. The function never downloads them."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.images import Pixels
from training.config import BUNDLED, NAMED_WEIGHTS
from training.errors import StepError
from training.learning import converted
from training.learning.converted import Arrays
from training.registry import releases
from training.registry.releases import StoredRelease
from training.registry.signing import Trust

if TYPE_CHECKING:
    import keras

FILE = "weights.npz"


def dump(model: keras.Model) -> bytes:
    """Return an .npz file with the weights of every layer, under the layer's name and the weight's index.

    Kernels are stored as float16, which makes no difference to fine-tuning. Variances need the range of float32.
    """
    file = io.BytesIO()
    arrays = {
        f"{layer.name}.{place}": values.astype(np.float16 if values.ndim > 1 else np.float32)
        for layer in model.layers
        for place, values in enumerate(layer.get_weights())
    }
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def load(model: keras.Model, uri: str, trust: Trust | None = None, faces: Pixels | None = None) -> None:
    """Set each layer of `model` from the layer with the same name and shape in the release at `uri`.

    Prints how many layers were set.

    Args:
        model: the network.
        uri: folder or gs:// address of a release, or BUNDLED.
        trust: signer that the release must have, or None.
        faces: (N, size, size, 3) uint8 training faces. A release without trainable weights needs them (see
            `converted.unfold`).

    Raises:
        StepError: as `find`, or the first layer does not fit.
    """
    found = find(uri, model.name, model.input_shape[1], trust)
    trainable = _stored(found)
    stored = converted.read(model, found) if trainable is None else trainable
    layers = [layer for layer in model.layers if layer.weights]
    fits = [_set(layer, stored) for layer in layers]
    # Random weights before the others would make them useless.
    if not fits[0]:
        raise StepError(
            f"{uri} does not fit {model.name}: it has another first layer than {layers[0].name}; start from a release "
            "of the same architecture that this version trained"
        )
    count = sum(fits)
    if trainable is None:
        converted.unfold(model, faces)
        converted.require_equal(model, found)
        count += 1
    print(f"{count} of {len(layers)} layers start from {uri}")


def _set(layer: keras.Layer, stored: Arrays) -> bool:
    values = [stored.get(f"{layer.name}.{place}") for place in range(len(layer.weights))]
    if [getattr(value, "shape", None) for value in values] != [tuple(weight.shape) for weight in layer.weights]:
        return False
    layer.set_weights([value.astype(np.float32) for value in values if value is not None])
    return True


def between(start: list[Any], end: list[Any], share: float) -> list[Any]:
    """Return the weights at `share` of the way from `start` to `end`, each as `keras.Model.get_weights` gives them.

    They keep most of what training gained, and lose less of what the start knew (WiSE-FT, Wortsman et al. 2022,
    arXiv:2109.01903).
    """
    return [before + share * (after - before) for before, after in zip(start, end, strict=True)]


def find(uri: str, architecture: str, size: int, trust: Trust | None = None) -> StoredRelease:
    """Return the release at `uri`, from which a network of `architecture` for faces of `size` pixels can start.

    Raises:
        StepError: there is no such release, its weights are damaged, or it has none and its model file cannot replace
            them.
    """
    try:
        found = releases.read(uri, trust)
    except StepError as error:
        names = ", ".join((BUNDLED, *NAMED_WEIGHTS))
        raise StepError(f"no initial weights {uri!r}, and it is none of {names}: {error}") from error
    if _stored(found) is None:
        converted.require(found, architecture, size)
    return found


def _stored(found: StoredRelease) -> Arrays | None:
    """Return the weights of a release as `dump` wrote them, None if it has none.

    Raises:
        StepError: they are damaged.
    """
    entry = found.manifest.get("weights")
    data = found.files.get(entry["file"]) if entry else None
    if data is None:
        return None
    try:
        with np.load(io.BytesIO(data)) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StepError(
            f"the weights of {found.uri} are no .npz file of arrays ({error}); publish the release again"
        ) from error
