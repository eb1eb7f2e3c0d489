"""Training, evaluation, registry and deployment of releases.

The import of this package fixes the settings with which a user's environment could change a model or break a plot: a
keras.json of other work, the plot backend of a notebook, a debugging variable.
"""

from __future__ import annotations

import os

_FIXED = {
    # No file keras.json can exist there, so Keras uses its defaults: float32, channels last. It writes nothing either.
    "KERAS_HOME": os.devnull,
    "KERAS_BACKEND": "tensorflow",
    # Notebooks name a backend that only they have. Plots go to files, in Matplotlib's default style.
    "MPLBACKEND": "agg",
    "MATPLOTLIBRC": os.devnull,
}
# Keras lets these shorten a training.
_REMOVED = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")

os.environ.update(_FIXED)
for _name in _REMOVED:
    os.environ.pop(_name, None)
