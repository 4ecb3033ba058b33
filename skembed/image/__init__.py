"""Embed images: read files and arrays, prepare pixels, `CNNImageEmbedder`.

Imports no other modality.
"""

from skembed.image._cnn import CNNImageEmbedder

__all__ = ["CNNImageEmbedder"]
