"""Whether operations on Tensors are recorded for derivatives: blocks and decorators, nestable."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class _Recording(threading.local):
    on = True
    inferring = 0


recording = _Recording()
inference: list[object] = []  # the blocks of inference that are open, in any thread


def is_grad_enabled() -> bool:
    """Whether operations are recorded here."""
    return recording.on


class _Mode:
    """A block, or a decorator, in which recording is on or off."""

    def __init__(self, on: bool) -> None:
        self._on = on
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(recording.on)
        recording.on = self._on

    def __exit__(self, *_: object) -> None:
        recording.on = self._before.pop()

    def __call__(self, fn: F) -> F:
        on, kind = self._on, _Inference if isinstance(self, _Inference) else _Mode

        if inspect.isgeneratorfunction(fn):
            return _stream(fn, lambda: kind(on))  # type: ignore[return-value]

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            with kind(on):
                return fn(*args, **kwargs)

        return call  # type: ignore[return-value]


def _stream(fn: Callable[..., Any], mode: Callable[[], _Mode]) -> Callable[..., Any]:
    """A generator whose body runs in a mode, and who takes what it yields does not."""

    @functools.wraps(fn)
    def generate(*args: Any, **kwargs: Any) -> Any:
        body = fn(*args, **kwargs)
        resume, given = body.send, None
        try:
            while True:
                with mode():
                    found = resume(given)
                try:
                    resume, given = body.send, (yield found)
                except GeneratorExit:
                    with mode():
                        body.close()
                    raise
                except BaseException as error:
                    resume, given = body.throw, error
        except StopIteration as end:
            return end.value

    return generate


def _mode(on: bool, fn: Any = None) -> Any:
    mode = _Mode(on)
    return mode if fn is None else mode(fn)


def no_grad(fn: Callable[..., Any] | None = None) -> Any:
    """A block, or a decorator, that records nothing."""
    return _mode(False, fn)


def enable_grad(fn: Callable[..., Any] | None = None) -> Any:
    """A block, or a decorator, that records, also inside `no_grad`."""
    return _mode(True, fn)


class _Inference(_Mode):
    """A block that records nothing, and knows that it is for inference."""

    def __enter__(self) -> None:
        super().__enter__()
        recording.inferring += 1
        inference.append(self)

    def __exit__(self, *_: object) -> None:
        inference.pop()
        recording.inferring -= 1
        super().__exit__()


def inference_mode(mode: Any = True) -> Any:
    """A block, or a decorator, that records nothing; `inference_mode(False)` changes nothing."""
    if callable(mode):
        return _Inference(False)(mode)
    return _Inference(False) if mode else _Mode(recording.on)


def is_inference_mode_enabled() -> bool:
    """Whether this is inside `inference_mode`."""
    return recording.inferring > 0


class set_grad_enabled(_Mode):  # a function in use, like its model
    """Switch recording from here on; as a block, until its end."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._before = [recording.on]
        recording.on = self._on

    def __repr__(self) -> str:
        return f"torch.autograd.grad_mode.set_grad_enabled(mode={self._on})"

    def __enter__(self) -> None:
        recording.on = self._on

    def __exit__(self, *_: object) -> None:
        recording.on = self._before[0]

    def __call__(self, fn: F) -> F:
        recording.on = self._before[0]
        return super().__call__(fn)
