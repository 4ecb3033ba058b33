"""Run a network in torch.

This module imports torch; it is imported only when a network is loaded.
"""

from collections import deque

import torch
from threadpoolctl import ThreadpoolController

from skembed.base._fork import after_fork_in_child

# Batches queued on a GPU before the first output is awaited.
_AHEAD = 3

_forked = False


@after_fork_in_child
def _note_fork():
    global _forked
    _forked = True


class TorchRunner:
    """A torch module on a device.

    Parameters
    ----------
    network : torch.nn.Module
        Takes network inputs, gives a tuple of vectors in float32, one for each piece of a head.
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
        vectors : tuple of ndarray, (n_rows, n_dims) or (n_rows, n_tokens, n_dims), float32
        """
        if self._device.type == "cuda":
            yield from self._run_on_gpu(batches)
            return
        # OpenMP's threads do not survive a fork, and its library would wait for them forever.
        limit = 1 if _forked else n_threads
        for batch in batches:
            # The limit of OpenMP holds for the calling thread. It is restored after each batch,
            # because the caller's code runs between batches.
            with (
                self._controller.limit(limits=limit, user_api="openmp"),
                torch.inference_mode(),
            ):
                tensor = torch.from_numpy(batch).to(self._device)
                vectors = tuple(part.cpu().numpy() for part in self._network(tensor))
            yield vectors

    def _run_on_gpu(self, batches):
        """Copy inputs and outputs while the GPU computes other batches."""
        waiting = deque()
        for batch in batches:
            with torch.inference_mode(), torch.cuda.device(self._device):
                tensor = torch.from_numpy(batch).pin_memory().to(self._device, non_blocking=True)
                output = tuple(_copied_ahead(part) for part in self._network(tensor))
                copied = torch.cuda.Event()
                copied.record()
            waiting.append((output, copied))
            if len(waiting) > _AHEAD:
                yield _awaited(*waiting.popleft())
        while waiting:
            yield _awaited(*waiting.popleft())

    def describe(self):
        """Return what runs the network, as a dict."""
        return {"library": f"torch {torch.__version__}", "device": str(self._device)}


def _copied_ahead(vectors):
    output = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
    return output.copy_(vectors, non_blocking=True)


def _awaited(output, copied):
    copied.synchronize()
    return tuple(part.numpy() for part in output)
