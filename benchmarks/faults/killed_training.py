"""Kill a training at random moments, resume it each time, and compare it with one that was not.

A child process trains with a `checkpoint_folder` and writes a checkpoint after each step (the
interval of 30 seconds is set to 0). It is killed after a random number of steps, and started
again, until it ends.

    python benchmarks/faults/killed_training.py [--kills 20] [--seed 0]
"""

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import sys
import numpy as np
from safetensors.numpy import load
from skembed import BertEmbedder, Training
from skembed.training import _checkpoint, _loop

folder, result, kill_after = sys.argv[1], sys.argv[2], int(sys.argv[3])
_checkpoint._SECONDS = 0
steps, real = [], _loop._Course._step

def step(self, batch, epoch):
    if len(steps) == kill_after:
        import os, signal, threading, time, random
        # In the middle of the next step, or of writing its checkpoint.
        threading.Timer(random.random() * 0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
    steps.append(1)
    return real(self, batch, epoch)

_loop._Course._step = step
texts = [f"row {i} tells of " + ("a cat " if i % 2 else "a town ") * (1 + i % 7) for i in range(64)]
training = Training(
    trainable="last:2", epochs=5, batch_size=8, validation_fraction=0.25,
    checkpoint_folder=None if folder == "none" else folder,
)
embedder = BertEmbedder(training=training, backend="torch", random_state=0, n_threads=1, cache=None)
embedder.fit(texts, [i % 2 for i in range(64)])
open(result, "wb").write(embedder._network.learned.weights)
"""


def run(folder, result, kill_after):
    """Return whether the training ended."""
    child = [sys.executable, "-c", CHILD, str(folder), str(result), str(kill_after)]
    return subprocess.run(child, check=False).returncode == 0


def main():
    import numpy as np
    from safetensors.numpy import load

    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--kills", type=int, default=20)
    given.add_argument("--seed", type=int, default=0)
    options = given.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        assert run("none", folder / "whole", 10**6)
        whole = load((folder / "whole").read_bytes())
        kills, differences, trainings = 0, [], 0
        while kills < options.kills:
            checkpoints = folder / f"checkpoints-{trainings}"
            while kills < options.kills:
                if run(checkpoints, folder / "found", draw.randint(0, 8)):
                    break
                kills += 1
            assert run(checkpoints, folder / "found", 10**6)
            trainings += 1
            found = load((folder / "found").read_bytes())
            assert found.keys() == whole.keys()
            differences.append(max(np.abs(found[name] - whole[name]).max() for name in whole))
            assert not list(checkpoints.glob("*.safetensors"))
            print(f"{kills} kills so far; largest difference {differences[-1]:.1e}", flush=True)
    print(f"{trainings} trainings, {kills} kills: largest difference {max(differences):.1e}")


if __name__ == "__main__":
    main()
