"""Learning in `fit`: objectives, the loop, what is trained. Works on networks and their inputs."""

from skembed.training._training import Training

__all__ = ["Training"]
