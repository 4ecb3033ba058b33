"""Embed sounds: read files and arrays, compute log-mel spectrograms, `AudioEmbedder`.

Imports no other modality.
"""

from skembed.audio._audio import AudioEmbedder

__all__ = ["AudioEmbedder"]
