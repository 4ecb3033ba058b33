"""A training that is killed goes on from its checkpoint, as if nothing had happened."""

import numpy as np
import pytest
from safetensors.torch import load

from skembed import BertEmbedder, Training
from skembed.training import _checkpoint, _loop

TEXTS = [f"the {who} {what}" for who in ("cat", "dog", "man", "town") for what in ("sat", "ran")]
LABELS = [0, 0, 0, 0, 1, 1, 1, 1]


def learner(folder, tiny_bert, **given):
    training = Training(
        trainable="all",
        epochs=4,
        batch_size=2,
        learning_rate=1e-3,
        validation_fraction=0.25,
        checkpoint_folder=folder,
        **given,
    )
    return BertEmbedder(
        tiny_bert, training=training, backend="torch", random_state=0, n_threads=1, cache=None
    )


def killed(embedder, after):
    """Fit until the step `after` has been made."""
    real, steps = _loop._Course._step, []

    def step(self, batch, epoch):
        if len(steps) == after:
            raise KeyboardInterrupt
        steps.append(1)
        return real(self, batch, epoch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_loop._Course, "_step", step)
        with pytest.raises(KeyboardInterrupt):
            embedder.fit(TEXTS, LABELS)
    assert not embedder.__sklearn_is_fitted__()


@pytest.mark.parametrize("after", [1, 2, 3, 4, 7, 11])
def test_a_killed_training_goes_on(after, tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "_SECONDS", 0)
    whole = learner(None, tiny_bert).fit(TEXTS, LABELS)
    embedder = learner(tmp_path, tiny_bert)
    killed(embedder, after)
    assert len(list(tmp_path.iterdir())) == 1
    embedder.fit(TEXTS, LABELS)
    assert not list(tmp_path.iterdir())
    expected, found = (load(item._network.learned.weights) for item in (whole, embedder))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        np.testing.assert_allclose(found[name], tensor, atol=1e-5)
    losses = [
        [step["loss"] for step in item.training_history_["steps"]] for item in (whole, embedder)
    ]
    np.testing.assert_allclose(*losses, atol=1e-5)
    assert len(embedder.training_history_["epochs"]) == 4


def test_a_training_killed_between_its_last_step_and_the_end_of_an_epoch(
    tiny_bert, tmp_path, monkeypatch
):
    monkeypatch.setattr(_checkpoint, "_SECONDS", 0)
    embedder = learner(tmp_path, tiny_bert)

    def interrupted(self):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_loop._Course, "_validation_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            embedder.fit(TEXTS, LABELS)
    embedder.fit(TEXTS, LABELS)
    whole = learner(None, tiny_bert).fit(TEXTS, LABELS)
    assert embedder._network.learned == whole._network.learned


def test_other_rows_and_parameters_have_files_of_their_own(tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "_SECONDS", 0)
    killed(learner(tmp_path, tiny_bert), 3)
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    other = learner(tmp_path, tiny_bert, weight_decay=0.5).fit(TEXTS, LABELS)
    assert len(other.training_history_["steps"]) == 12
    learner(tmp_path, tiny_bert).fit(TEXTS[::-1], LABELS)
    assert [item.read_bytes() for item in tmp_path.iterdir()] == [before]


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_damaged_file_is_not_used(content, tiny_bert, tmp_path, monkeypatch):
    monkeypatch.setattr(_checkpoint, "_SECONDS", 0)
    embedder = learner(tmp_path, tiny_bert)
    killed(embedder, 5)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    whole = learner(None, tiny_bert).fit(TEXTS, LABELS)
    assert embedder.fit(TEXTS, LABELS)._network.learned == whole._network.learned


def test_a_file_is_no_folder(tiny_bert, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"checkpoint_folder=.* is not a folder"):
        learner(tmp_path / "file", tiny_bert).fit(TEXTS, LABELS)
