"""Owns a stream of a server of `grpc` (threads) that ends when its token does, also if its client reads nothing."""

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
    """The handler has returned, or the stream has ended without it."""


class ThreadedStream:
    """Runs a handler on a thread of its own, while that of the server waits for what it answers, or for the end.

    A handler cannot be interrupted in Python. Once its stream has ended it gets no message more: its requests raise the refusal, and what
    it yields goes nowhere. As when a client cancels, it notices by that or by its context (`is_active`, `add_callback`): at once if the
    client reads, and else when the call is cancelled, `CUT_AFTER` seconds later. Until it returns it counts as an open stream, of which
    there are at most 10,000.
    """

    def __init__(self, streams: OpenStreams, admission: Admission, context: grpc.ServicerContext, abort: Abort) -> None:
        self._streams, self._context, self._abort = streams, context, abort
        self._told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._room = threading.Semaphore(1)
        self._refusal: Refusal | None = None
        self._has_ended = False
        self._stream = OpenStream(admission.claims, admission.audience, admission.method, self._end, self._cut)

    def run(
        self,
        own: contextvars.Context,
        behavior: Callable[..., Any],
        request: Any,
        *,
        reads_stream: bool,
        is_stream: bool,
    ) -> Iterator[Any]:
        """What `behavior` answers in the context `own`: one message, or those of an iterator (`is_stream`).

        `reads_stream`: `request` is the iterator of the messages that the client sends.
        """
        try:
            self._streams.open(self._stream)
        except Refusal as refusal:
            self._abort(self._context, refusal.at(self._stream.audience, self._stream.method))
        arguments = (self._work, behavior, self._requests(request) if reads_stream else request, is_stream)
        try:
            threading.Thread(target=own.run, args=arguments, name="signet-stream", daemon=True).start()
        except BaseException:
            self._streams.release(self._stream)
            raise
        return self._answers()

    def _end(self, refusal: Refusal) -> None:
        """The token has: on the thread that watches."""
        self._refusal, self._has_ended = refusal, True
        self._told.put(_End())
        self._room.release()

    def _cut(self) -> None:
        """Cancels the call, if the server could not tell its client why it has ended. One that is over does not mind."""
        # The contexts of handlers on the threads of a server of asyncio have none.
        cancel = getattr(self._context, "cancel", None)
        if cancel is not None:
            cancel()

    def _requests(self, requests: Any) -> Iterator[Any]:
        """The messages of the client, of which none is handed on once the stream has ended."""
        return _Requests(requests, self._check)

    def _check(self) -> None:
        if self._refusal is not None:
            # Another one each time: several threads may raise it.
            raise self._refusal.at(self._stream.audience, self._stream.method)

    def _answers(self) -> Iterator[Any]:
        try:
            while True:
                told = self._told.get()
                if self._refusal is not None:
                    self._abort(self._context, self._refusal)
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


class _Requests:
    def __init__(self, requests: Any, check: Callable[[], None]) -> None:
        self._requests, self._check = requests, check

    def __iter__(self) -> _Requests:
        return self

    def __next__(self) -> Any:
        self._check()
        try:
            return next(self._requests)
        finally:
            # Also where the server says that the client has no more to say: that is so because the stream has ended.
            self._check()

    def next(self) -> Any:
        """As the server's own iterator has it."""
        return self.__next__()
