"""Callbacks of scikit-learn: begun and ended once, one subtask an epoch, stopped on request."""

import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.fixes import parse_version

from skembed import BertEmbedder, Training

pytestmark = pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"),
    reason="scikit-learn has callbacks since version 1.9",
)
TEXTS, LABELS = ["the cat sat", "a dog ran", "the cat ran", "a dog sat"], [0, 1, 0, 1]


class Seen:
    """A callback that writes down its calls."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.calls, self.vectors, self._stop_after = [], [], stop_after

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.calls.append(f"end {context.task_name}")
        if hasattr(fitted_estimator, "transform"):
            self.vectors.append(fitted_estimator.transform(TEXTS))
        return self.calls.count("end epoch") == self._stop_after


def learner(tiny_bert, **given):
    training = Training(trainable="last:1", epochs=3, learning_rate=1e-2, mixed_precision=False)
    given = {"training": training, "backend": "torch", "cache": None, **given}
    return BertEmbedder(tiny_bert, random_state=0, n_threads=1, **given)


def test_each_epoch_is_a_task(tiny_bert):
    seen = Seen()
    embedder = learner(tiny_bert).set_callbacks(seen).fit(TEXTS, LABELS)
    epochs = ["begin epoch", "end epoch"] * 3
    assert seen.calls == ["setup", "begin fit", *epochs, "end fit", "teardown"]
    assert len(seen.vectors) == 3
    assert (seen.vectors[0] != seen.vectors[1]).any()
    assert (seen.vectors[2] == embedder.transform(TEXTS)).all()
    assert "_callback_fit_ctx" not in vars(embedder)


def test_a_callback_ends_the_training(tiny_bert):
    embedder = learner(tiny_bert).set_callbacks(Seen(stop_after=1)).fit(TEXTS, LABELS)
    assert len(embedder.training_history_["epochs"]) == 1


def test_they_are_called_for_frozen_networks_and_after_failures(tiny_bert):
    seen = Seen()
    learner(tiny_bert, training=None).set_callbacks(seen).fit_transform(TEXTS)
    assert seen.calls == ["setup", "begin fit", "end fit", "teardown"]
    seen = Seen()
    with pytest.raises(ValueError, match="learns from labels"):
        learner(tiny_bert).set_callbacks(seen).fit(TEXTS)
    assert seen.calls[-1] == "teardown"


def test_a_pipeline_passes_them_on(tiny_bert):
    seen = Seen()
    pipeline = make_pipeline(clone(learner(tiny_bert)), LogisticRegression())
    pipeline.set_callbacks(seen).fit(TEXTS, LABELS)
    assert seen.calls.count("end epoch") == 3
    assert seen.calls.count("setup") == seen.calls.count("teardown") == 1
