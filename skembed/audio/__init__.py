"""Reading waveforms, log-mel, AudioEmbedder. Imports neither `text` nor `image`."""

from skembed.audio._audio import AudioEmbedder

__all__ = ["AudioEmbedder"]
