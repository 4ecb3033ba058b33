"""Callbacks of scikit-learn, which versions before 1.9 do not have. Imports nothing of skembed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from typing_extensions import Self

    # scikit-learn has no types, and a decorator without types makes `fit` one without types.
    _Method = TypeVar("_Method", bound=Callable[..., Any])

    def with_callbacks(method: _Method) -> _Method: ...

    class CallbackSupportMixin:
        def set_callbacks(self, *callbacks: Any) -> Self: ...

else:
    try:
        from sklearn.callback import CallbackSupportMixin, with_callbacks
    except ImportError:  # scikit-learn < 1.9

        class CallbackSupportMixin:
            """Stands for the mixin of later versions."""

        def with_callbacks(method):
            """Return the method."""
            return method


def begun(estimator, **subtasks):
    """Return the context of a `fit`, whose callbacks have been told; None without callbacks."""
    if not hasattr(estimator, "_init_callback_context"):
        return None
    context = estimator._init_callback_context(**subtasks)
    return context.call_on_fit_task_begin(estimator=estimator)


@contextmanager
def subtask(estimator, name, fitted):
    """Tell callbacks about a part of `fit`: a context whose value has ``stop``.

    Parameters
    ----------
    estimator : object
        The estimator.
    name : str
        Of the part.
    fitted : callable
        Returns the attributes with which the estimator can be used as after `fit`.
    """
    state = _State()
    context = getattr(estimator, "_callback_fit_ctx", None)
    if context is None:
        yield state
        return
    part = context.subcontext(task_name=name)
    part.call_on_fit_task_begin(estimator=estimator)
    yield state
    state.stop = part.call_on_fit_task_end(estimator=estimator, reconstruction_attributes=fitted)


class _State:
    stop = False
