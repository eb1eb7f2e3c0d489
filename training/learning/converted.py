"""Weights read back from the TFLite file of a release that carries no trainable ones, at the precision of that file.

The converter writes kernels with the output channels first, and folds the batch normalization before the branches into
them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from serving import self_test
from serving.images import Pixels
from serving.predictor import Predictor
from serving.runtime import Interpreter
from training.errors import StepError
from training.registry.releases import StoredRelease

if TYPE_CHECKING:
    import keras

# Networks with one batch normalization, TOP_NORM, of the input of all branches.
READABLE = ("mobilenet_9", "mobilenet_13")
TOP_NORM = "top_norm"
# Largest difference in probability between the network and an int8 file for the known image. The bundled release's is
# 0.07; a layer with wrong weights gives 0.3 and more.
_MAX_DISAGREEMENT = 0.15
# Smallest standard deviation of a feature, for features that no face has. Keras adds 0.001 to the variance.
MIN_DEVIATION = 0.05

Arrays = dict[str, npt.NDArray[Any]]


def require(found: StoredRelease, architecture: str, size: int) -> None:
    """Check that a network of `architecture` for faces of `size` pixels can start from the TFLite file of a release.

    Raises:
        StepError: it cannot.
    """
    stated = found.manifest.get("provenance", {}).get("config", {}).get("architecture")
    if stated not in READABLE:
        raise StepError(
            f"{found.uri} contains no trainable weights, and its model file can replace them only for "
            f"{' or '.join(READABLE)}; its manifest states {stated or 'no architecture'}; choose another release"
        )
    if stated != architecture:
        raise StepError(
            f"{found.uri} contains no trainable weights, and its model file fits only its own architecture {stated}, "
            f"not {architecture}; choose a preset with {stated}"
        )
    if size != found.manifest["input"]["size"]:
        raise StepError(
            f"{found.uri} contains no trainable weights, and its model file fits only faces of "
            f"{found.manifest['input']['size']} pixels, not {size}; prepare the faces at its size (--size)"
        )


def read(model: keras.Model, found: StoredRelease) -> Arrays:
    """Return kernel and bias of each layer of `model` that the TFLite file of a release has.

    Names and shapes are those of `weights.dump`. A layer is found by its name, which the converter keeps.
    """
    interpreter = Interpreter(model_content=found.files[found.manifest["model"]["file"]])
    interpreter.allocate_tensors()
    tensors = interpreter.get_tensor_details()
    arrays = {}
    for layer in model.layers:
        if not hasattr(layer, "kernel"):
            continue
        for place, weight in enumerate(layer.weights):
            shape = tuple(weight.shape)
            tensor = _find(tensors, layer.name, (*shape[-1:], *shape[:-1]))
            if tensor is not None:
                values = _floats(interpreter.get_tensor(tensor["index"]), tensor["quantization_parameters"])
                arrays[f"{layer.name}.{place}"] = np.moveaxis(values, 0, -1)
    return arrays


def _find(tensors: list[dict[str, Any]], layer: str, shape: tuple[int, ...]) -> dict[str, Any] | None:
    """Return the first tensor of that shape with the layer in its name, which lists the operations fused into it."""
    named = re.compile(rf"(^|[/;]){layer}(_\d+)?(/|;|$)")
    return next((each for each in tensors if tuple(each["shape"]) == shape and named.search(each["name"])), None)


def _floats(values: npt.NDArray[Any], quantization: dict[str, Any]) -> npt.NDArray[np.float32]:
    scales, zeros = quantization["scales"], quantization["zero_points"]
    if not len(scales):
        return values.astype(np.float32)
    shape = [1] * values.ndim
    shape[quantization["quantized_dimension"]] = -1
    floats: npt.NDArray[np.float32] = (values - zeros.reshape(shape)) * scales.reshape(shape).astype(np.float32)
    return floats


def unfold(model: keras.Model, faces: Pixels | None) -> None:
    """Separate the batch normalization from the branches' kernels, without a change of the network's predictions.

    Training drops features at random, which presumes that their mean is near 0. So the statistics are measured again.

    Args:
        model: a network of READABLE whose branches have the folded kernels.
        faces: (N, size, size, 3) uint8, from which the statistics are measured. None keeps the folded kernels.
    """
    norm = model.get_layer(TOP_NORM)
    features = norm.weights[0].shape[0]
    mean, deviation = np.zeros(features, np.float32), np.ones(features, np.float32)
    if faces is not None:
        values = type(model)(model.input, norm.input).predict(faces.astype(np.float32), 64, verbose=0)
        mean, deviation = values.mean(axis=0), np.maximum(values.std(axis=0), MIN_DEVIATION)
    norm.set_weights([np.ones(features), np.zeros(features), mean, deviation**2 - norm.epsilon])
    for layer in model.layers:
        if layer.name.endswith("_branch"):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel * deviation[:, None], bias + mean @ kernel])


def require_equal(model: keras.Model, found: StoredRelease) -> None:
    """Check that a network predicts as the TFLite file it was read from.

    Raises:
        StepError: the predictions for the known image differ by more than the rounding of an int8 file.
    """
    image = self_test.image(model.input_shape[1])
    predictor = Predictor(found.served())
    wanted = predictor.run(image)
    sides = [image, image[:, :, ::-1]] if found.manifest["model"].get("mirror") else [image]
    predicted = [model.predict(side.astype(np.float32), verbose=0) for side in sides]
    for head in wanted.keys() & predicted[0].keys():
        apart = float(np.abs(np.mean([side[head] for side in predicted], axis=0) - wanted[head]).max())
        if not apart <= _MAX_DISAGREEMENT:
            raise StepError(
                f"the weights read from the model file of {found.uri} predict {head} differently by {apart:.2f}, at "
                f"most {_MAX_DISAGREEMENT} is allowed; choose a release with trainable weights"
            )
