"""Find faces in whole images and cut them out as the model expects them."""
