"""Owns a stream of a server of `grpc` (threads) that ends when its token does, also while its handler is idle."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc

from ._streams import OpenStream, OpenStreams
from .refusal import Refusal
from .verifier import Admission

Abort = Callable[[grpc.ServicerContext, Refusal], NoReturn]


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BaseException


class _End:
    """The handler has returned."""


class ThreadedStream:
    """Runs a handler on a thread of its own, while that of the server waits for what it answers, or for the end.

    A handler cannot be interrupted in Python: as when a client cancels, it notices by its context (`is_active`, `add_callback`), or by the
    end of its requests. Until it returns it counts as an open stream, of which there are at most 10,000.
    """

    def __init__(self, streams: OpenStreams, admission: Admission, context: grpc.ServicerContext, abort: Abort) -> None:
        self._streams, self._context, self._abort = streams, context, abort
        self._told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._room = threading.Semaphore(1)
        self._has_ended = False
        self._stream = OpenStream(admission.claims, admission.audience, admission.method, self._told.put)

    def run(self, own: contextvars.Context, behavior: Callable[..., Any], request: Any, is_stream: bool) -> Iterator[Any]:
        """What `behavior` answers in the context `own`: one message, or those of an iterator (`is_stream`)."""
        try:
            self._streams.open(self._stream)
        except Refusal as refusal:
            self._abort(self._context, refusal.at(self._stream.audience, self._stream.method))
        arguments = (self._work, behavior, request, is_stream)
        threading.Thread(target=own.run, args=arguments, name="signet-stream", daemon=True).start()
        return self._answers()

    def _answers(self) -> Iterator[Any]:
        try:
            while True:
                told = self._told.get()
                if isinstance(told, Refusal):
                    self._abort(self._context, told)
                if isinstance(told, _Failure):
                    raise told.error
                if isinstance(told, _End):
                    return
                yield told
                self._room.release()
        finally:
            self._has_ended = True
            self._room.release()

    def _work(self, behavior: Callable[..., Any], request: Any, is_stream: bool) -> None:
        try:
            answer = behavior(request, self._context)
            if is_stream:
                self._hand_on(answer)
            else:
                self._told.put(answer)
            self._told.put(_End())
        except BaseException as error:
            self._told.put(_Failure(error))
        finally:
            self._streams.release(self._stream)

    def _hand_on(self, answers: Any) -> None:
        for answer in answers:
            # One message at most is ahead of the server.
            self._room.acquire()
            if self._has_ended:
                close = getattr(answers, "close", None)
                if close is not None:
                    close()
                return
            self._told.put(answer)
