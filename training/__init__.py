"""The training half: labelled faces in, a signed-off TFLite release out."""
