"""The compiled loops without a cache on disk. Their results are compared in test_glove_training."""


def test_a_file_system_that_cannot_be_written(monkeypatch):
    """Numba raises a RuntimeError if it finds no folder for its cache."""
    from numba.core.caching import CacheImpl

    from skembed.words import _glove_kernels

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    increased = _glove_kernels._compiled()(lambda x: x + 1)
    assert increased(1) == 2
