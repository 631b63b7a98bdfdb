"""Owns running each call on a thread of its own, which ends with it: no call waits for another one, and none keeps a thread for life."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class ThreadForEach(ThreadPoolExecutor):
    """A pool, as a server of `grpc` takes one, that has no threads of its own. Whoever submits sees to it that there are not too many."""

    def __init__(self, name: str) -> None:
        super().__init__(1)
        self._name, self._counting = name, threading.Lock()
        self.running = 0
        """How many run."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs `fn` at once."""
        done: Future[Any] = Future()

        def run() -> None:
            try:
                done.set_result(fn(*args, **kwargs))
            except BaseException as error:
                done.set_exception(error)
            finally:
                self._count(-1)

        self._count(1)
        try:
            threading.Thread(target=run, name=self._name, daemon=True).start()
        except RuntimeError as error:
            # No more threads can be had. The thread that takes calls in, which is this one, must not die of it.
            self._count(-1)
            done.set_exception(error)
        return done

    def _count(self, change: int) -> None:
        with self._counting:
            self.running += change
