"""Running a network in torch. Imports torch, and so imported only when a network is loaded."""

import os

import torch
from threadpoolctl import ThreadpoolController

_forked = False


def _note_fork():
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class TorchRunner:
    """A torch module on a device.

    Parameters
    ----------
    network : torch.nn.Module
        Takes network inputs, gives vectors in float32.
    device : str
        ``"cpu"``, ``"cuda"``, ...
    """

    def __init__(self, network, device):
        self._device = torch.device(device)
        self._network = network.to(self._device)
        self._controller = ThreadpoolController()

    def run(self, batches, n_threads):
        """Yield the vectors of each batch, in order.

        Parameters
        ----------
        batches : list of ndarray
            Network inputs, each of rows of one shape.
        n_threads : int
            Threads that torch computes a batch on.

        Yields
        ------
        vectors : ndarray of shape (n_rows, n_dims) or (n_rows, n_tokens, n_dims), float32
        """
        # OpenMP's threads do not survive a fork, and its library waits for them for ever.
        limit = 1 if _forked else n_threads
        for batch in batches:
            # OpenMP's limit belongs to the calling thread and is put back after each batch: the
            # caller's own code runs between batches.
            with (
                self._controller.limit(limits=limit, user_api="openmp"),
                torch.inference_mode(),
            ):
                tensor = torch.from_numpy(batch).to(self._device)
                vectors = self._network(tensor).cpu().numpy()
            yield vectors

    def describe(self):
        """Return what runs the network, as a dict."""
        return {"library": f"torch {torch.__version__}", "device": str(self._device)}
