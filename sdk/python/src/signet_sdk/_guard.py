"""Owns the guard of a server of `grpc` (threads): no call reaches a handler that its rule does not let through."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeAlias

import grpc

from ._handlers import authorization_of, behavior_of, is_unary, with_behavior
from ._thread_for_each import ThreadForEach
from ._threaded_stream import ThreadedStream
from .access import Access
from .caller import CALLER
from .policy import Policy
from .refusal import Refusal, unavailable
from .verifier import Admission, Admitting, Verifier, Wait

MAX_WAITING = 100
"""The most calls of one guard that wait for a key or for introspection, each on a thread of its own; more are `UNAVAILABLE`. The threads of
the server's pool stay free for calls whose tokens are known, however many invented keys are named."""

MAX_LATE = 10_000
"""The most calls of one guard that go on, on such a thread, once they were admitted."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Admit = Callable[[grpc.ServicerContext], Admission]


def guard(verifier: Verifier, policy: Policy) -> grpc.ServerInterceptor:
    """The interceptor that guards a server: `grpc.server(pool, interceptors=[signet_sdk.guard(verifier, policy)])`.

    Let it be the first, but for those that count or trace: what stands behind it sees only calls that pass. For `grpc.aio` take
    :func:`signet_sdk.aio.guard`.
    """
    verifier.start()
    return _Guard(verifier, policy)


class _Guard(grpc.ServerInterceptor):
    def __init__(self, verifier: Verifier, policy: Policy) -> None:
        self._verifier, self._policy = verifier, policy
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._late = ThreadForEach("signet-late")

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        method = handler_call_details.method
        access = self._policy.access(method)
        if access.kind == "public":
            return continuation(handler_call_details)
        admitting = self._verifier.admit(access, method, authorization_of(handler_call_details))
        # This is the thread of the server that takes calls in: what must be waited for is waited for elsewhere.
        try:
            wait = next(admitting)
        except StopIteration as end:
            admission: Admission = end.value
            handler = continuation(handler_call_details)
            return handler and guarded(handler, self._verifier, lambda _context: admission)
        except Refusal as refusal:
            return refusing(refusal)
        if self._late.running >= MAX_WAITING + MAX_LATE:
            return refusing(self._busy(access, method))
        handler = continuation(handler_call_details)
        return handler and guarded_late(handler, self._verifier, self._later(admitting, wait, self._busy(access, method)), self._late)

    def _busy(self, access: Access, method: str) -> Refusal:
        audience = (access.rule and access.rule.audience) or self._verifier.audience
        return unavailable("too many calls wait to be judged").at(audience, method)

    def _later(self, admitting: Admitting, first: Wait, busy: Refusal) -> Admit:
        """The admission of a call that waits; `busy` is its refusal if too many do."""

        def continued() -> Admitting:
            yield first
            return (yield from admitting)

        def admit(context: grpc.ServicerContext) -> Admission:
            if not self._waiting.acquire(blocking=False):
                abort(context, busy)
            try:
                return self._verifier.drive(continued(), context.time_remaining())
            except Refusal as refusal:
                abort(context, refusal)
            finally:
                self._waiting.release()

        return admit


def abort(context: grpc.ServicerContext, refusal: Refusal) -> NoReturn:
    """Ends the call with `refusal`."""
    context.set_trailing_metadata(refusal.trailing_metadata())
    context.abort(refusal.code(), refusal.details())
    raise refusal


def refusing(refusal: Refusal) -> Handler:
    """A handler that refuses, and waits for no message."""

    def refuse(_requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        abort(context, refusal)

    return grpc.stream_stream_rpc_method_handler(refuse)


def guarded(handler: Any, verifier: Verifier, admit: Admit) -> Handler:
    """`handler`, for a caller whom `admit` admits."""
    deserialize = handler.request_deserializer
    reads_here = not handler.request_streaming and deserialize is not None

    def call(request: Any, context: grpc.ServicerContext) -> Any:
        admission = admit(context)
        if reads_here:
            request = _deserialized(deserialize, request, context)
        return _called(handler, verifier, admission, request, context)

    def answers(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        # A generator: a server of asyncio makes it on its loop, and runs it on a thread, where a call may be ended.
        yield from call(request, context)

    # The one message of a call is read only once its sender may call.
    return with_behavior(handler, answers if handler.response_streaming else call, None if reads_here else deserialize)


def guarded_late(handler: Any, verifier: Verifier, admit: Admit, pool: ThreadForEach) -> Handler:
    """The same, if `admit` takes a while: on a thread of `pool`.

    The server takes it for one that reads a stream: it would wait for the one message of a unary call before it calls anything, and a
    stranger who sends none would keep the thread.
    """
    deserialize = handler.request_deserializer
    reads_here = not handler.request_streaming

    def call(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        admission = admit(context)
        request: Any = requests
        if reads_here:
            request = next(requests, None)
            if request is None:
                # As the server itself answers.
                context.abort(grpc.StatusCode.UNIMPLEMENTED, f'"{admission.method}" requires exactly one request message.')
            if deserialize is not None:
                request = _deserialized(deserialize, request, context)
        return _called(handler, verifier, admission, request, context)

    # The server runs a behaviour that names a pool on that one; one that does not heed it lets its own pool wait.
    call.experimental_thread_pool = pool  # type: ignore[attr-defined]
    make: Any = grpc.stream_stream_rpc_method_handler if handler.response_streaming else grpc.stream_unary_rpc_method_handler
    made: Handler = make(call, None if reads_here else deserialize, handler.response_serializer)
    return made


def _called(handler: Any, verifier: Verifier, admission: Admission, request: Any, context: grpc.ServicerContext) -> Any:
    """What the handler answers, in a context that knows the caller."""
    try:
        verifier.recheck(admission)
    except Refusal as refusal:
        abort(context, refusal)
    behavior, own = behavior_of(handler), contextvars.copy_context()
    own.run(CALLER.set, admission.caller)
    if is_unary(handler):
        return own.run(behavior, request, context)
    stream = ThreadedStream(verifier.streams, admission, context, abort)
    answers = stream.run(own, behavior, request, reads_stream=handler.request_streaming, is_stream=handler.response_streaming)
    return answers if handler.response_streaming else next(answers)


def _deserialized(deserialize: Callable[[bytes], Any], request: bytes, context: grpc.ServicerContext) -> Any:
    try:
        return deserialize(request)
    except Exception:
        # As the server itself answers, whose deserializer this is.
        context.abort(grpc.StatusCode.INTERNAL, "Exception deserializing request!")
