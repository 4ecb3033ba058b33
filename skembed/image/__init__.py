"""Reading pixels, CNNImageEmbedder. Imports neither `text` nor `audio`."""

from skembed.image._cnn import CNNImageEmbedder

__all__ = ["CNNImageEmbedder"]
