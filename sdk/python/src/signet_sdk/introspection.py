"""Owns asking Signet what a token is worth at this moment (RFC 7662), where the token had no room for its roles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import grpc

from identity.v1 import token_service_pb2 as tokens
from identity.v1 import token_service_pb2_grpc as tokens_grpc

from ._replicas import Replicas
from .grants import ClientCredentials, ClientProof
from .refusal import refusal_of, unavailable
from .token_source import TokenSource

TIMEOUT = 5.0
"""Seconds that an answer may take."""

MAX_WAITING = 1_000
"""The most calls that wait for an answer."""

_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Introspected:
    """What introspection says of a token."""

    active: bool
    """Whether it is good at this moment."""
    roles: tuple[str, ...] = ()
    """The roles that its user or client has at its audience."""


class Introspection:
    """Asks Signet about tokens that have no room for their roles (`roles_omitted`), by `TokenService.IntrospectToken`.

    Its client needs the scope `introspect` and Signet's own audience.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        proof: ClientProof,
        *,
        audience: str = "signet",
        channel_credentials: grpc.ChannelCredentials | None = None,
        allow_plaintext: str | None = None,
        ask: Callable[[str], Introspected] | None = None,
    ) -> None:
        """Where Signet is, and by what the service proves that it may ask.

        `audience`: Signet's own. `ask`: what answers in the place of Signet, in tests.

        Raises:
            PlaintextError: A token would go somewhere else than this machine in plaintext.
        """
        self._replicas = Replicas(addresses, channel_credentials, allow_plaintext)
        self._source: TokenSource | None = None
        if ask is None:
            self._source = TokenSource(
                addresses,
                ClientCredentials(proof),
                audience=audience,
                scopes=["introspect"],
                channel_credentials=channel_credentials,
                allow_plaintext=allow_plaintext,
            )
        self._ask = ask or self._ask_signet
        self._waiting: dict[str, list[Future[Introspected]]] = {}
        self._lock = Lock()
        self._is_closed = False
        self._pool = ThreadPoolExecutor(_WORKERS, "signet-introspect")

    def ask(self, token: str) -> Future[Introspected]:
        """What `token` is worth. Whoever asks while the same question is open gets its answer.

        Raises:
            Refusal: `UNAVAILABLE`: too many wait, or it is closed.
        """
        answer: Future[Introspected] = Future()
        with self._lock:
            if self._is_closed:
                raise unavailable("introspection is closed")
            if sum(map(len, self._waiting.values())) >= MAX_WAITING:
                raise unavailable("too many calls wait for introspection")
            waiting = self._waiting.setdefault(token, [])
            waiting.append(answer)
            if len(waiting) == 1:
                self._pool.submit(self._run, token, waiting)
        answer.add_done_callback(lambda _: self._leave(token, answer))
        return answer

    def close(self) -> None:
        """Ends: open questions are `UNAVAILABLE`, and so are later ones."""
        with self._lock:
            self._is_closed = True
            left = [answer for waiting in self._waiting.values() for answer in waiting]
            for waiting in self._waiting.values():
                waiting.clear()
            self._waiting.clear()
        for answer in left:
            if answer.set_running_or_notify_cancel():
                answer.set_exception(unavailable("introspection is closed"))
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._replicas.close()
        if self._source is not None:
            self._source.close()

    def _leave(self, token: str, answer: Future[Introspected]) -> None:
        """Whoever waits for `answer` waits no more."""
        with self._lock:
            waiting = self._waiting.get(token, [])
            if answer in waiting:
                waiting.remove(answer)
                if not waiting:
                    del self._waiting[token]

    def _run(self, token: str, waiting: list[Future[Introspected]]) -> None:
        with self._lock:
            if not waiting:
                return
        told, failure = None, None
        try:
            told = self._ask(token)
        except Exception as error:
            failure = error
        with self._lock:
            if self._waiting.get(token) is waiting:
                del self._waiting[token]
            answers, waiting[:] = list(waiting), []
        for answer in answers:
            if not answer.set_running_or_notify_cancel():
                continue
            if told is not None:
                answer.set_result(told)
            else:
                answer.set_exception(failure)

    def _ask_signet(self, token: str) -> Introspected:
        assert self._source is not None
        shown = self._source.token(TIMEOUT)
        metadata = (("authorization", f"Bearer {shown}"),)
        request = tokens.IntrospectTokenRequest(token=token)
        try:
            answer = self._replicas.ask(
                lambda channel: tokens_grpc.TokenServiceStub(channel).IntrospectToken(request, timeout=TIMEOUT, metadata=metadata)
            )
        except grpc.RpcError as error:
            refusal = refusal_of(error)
            if refusal is not None and refusal.reason in ("TOKEN_EXPIRED", "TOKEN_REVOKED"):
                self._source.drop(shown)
            raise
        return Introspected(answer.active, tuple(answer.roles))
