"""The serving half: a TFLite release in, answers over HTTP out; it knows nothing of training."""
