"""Owns the tests of introspection: which replica answers, and that calls with one token ask once."""

from __future__ import annotations

import threading
from concurrent import futures
from typing import Any, cast

import grpc
import pytest

from identity.v1 import identity_service_pb2 as identity
from identity.v1 import identity_service_pb2_grpc as identity_grpc
from identity.v1 import token_service_pb2 as tokens
from identity.v1 import token_service_pb2_grpc as tokens_grpc
from signet_sdk import Introspection, Refusal, Secret
from signet_sdk.introspection import MAX_WAITING, Introspected


class Issuing(identity_grpc.IdentityServiceServicer):
    def IssueToken(self, request: Any, context: Any) -> Any:  # noqa: N802
        return identity.IssueTokenResponse(access_token="shown", expires_in=100)


class Telling(tokens_grpc.TokenServiceServicer):
    def IntrospectToken(self, request: Any, context: Any) -> Any:  # noqa: N802
        return tokens.IntrospectTokenResponse(active=True, roles=["stocker"])


def test_the_next_replica_answers_within_the_call_and_no_channel_is_left() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(8))
    identity_grpc.add_IdentityServiceServicer_to_server(cast("Any", Issuing)(), server)
    tokens_grpc.add_TokenServiceServicer_to_server(cast("Any", Telling)(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    asking = Introspection(["127.0.0.1:1", f"localhost:{port}"], Secret("asker", "s"))
    try:
        answers = [asking.ask(f"token-{at}") for at in range(20)]
        assert {answer.result(20) for answer in answers} == {Introspected(True, ("stocker",))}
        assert list(asking._replicas._channels) == [f"localhost:{port}"]
    finally:
        asking.close()
        server.stop(None).wait()
    assert not asking._replicas._channels


class Held:
    """Answers by hand."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.begun, self.gate = threading.Semaphore(0), threading.Event()
        self.asking = Introspection([], Secret("asker", "s"), ask=self.ask)

    def ask(self, token: str) -> Introspected:
        self.asked.append(token)
        self.begun.release()
        assert self.gate.wait(10)
        return Introspected(True, (token,))


def test_calls_with_one_token_share_a_question_and_none_gives_it_up_for_the_others() -> None:
    held = Held()
    first, second, third = (held.asking.ask("one") for _ in range(3))
    assert held.begun.acquire(timeout=10)
    assert first.cancel()
    held.gate.set()
    assert (second.result(10), third.result(10)) == (Introspected(True, ("one",)),) * 2
    assert held.asked == ["one"]
    assert held.asking.ask("one").result(10).active
    assert held.asked == ["one", "one"], "an answer is not kept"
    held.asking.close()


def test_questions_are_bounded_and_whoever_gives_up_leaves_a_place() -> None:
    held = Held()
    waiting = [held.asking.ask(f"token-{at % 3}") for at in range(MAX_WAITING)]
    with pytest.raises(Refusal) as caught:
        held.asking.ask("one")
    assert caught.value.reason == "UNAVAILABLE"
    assert waiting[0].cancel()
    held.asking.ask("one")
    held.gate.set()
    held.asking.close()


def test_a_closed_one_answers_nobody() -> None:
    held = Held()
    waiting = held.asking.ask("one")
    assert held.begun.acquire(timeout=10)
    held.asking.close()
    with pytest.raises(Refusal, match="UNAVAILABLE"):
        waiting.result(10)
    with pytest.raises(Refusal, match="UNAVAILABLE"):
        held.asking.ask("two")
    held.gate.set()
