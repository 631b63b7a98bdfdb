"""Owns the tests of the client half: when a token is asked for, by whom it is waited for, and what happens when none comes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any, cast

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from identity.v1 import identity_service_pb2 as identity
from identity.v1 import identity_service_pb2_grpc as identity_grpc
from signet_sdk import Certificate, ClientCredentials, Hooks, PlaintextError, RefreshToken, Refusal, Secret, SigningKey, TokenSource
from signet_sdk.testing import ManualClock

ISSUER = "https://id.example"


class Signet:
    """What stands for IssueToken: answers by hand, or at once."""

    def __init__(self) -> None:
        self.requests: list[identity.IssueTokenRequest] = []
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Semaphore(0)
        self.fails: Exception | None = None
        self.lifetime = 100

    def issue(self, request: identity.IssueTokenRequest) -> identity.IssueTokenResponse:
        self.requests.append(request)
        number = len(self.requests)
        self.asked.release()
        assert self.gate.wait(10)
        if self.fails is not None:
            raise self.fails
        response = identity.IssueTokenResponse(access_token=f"token-{number}", expires_in=self.lifetime)
        if request.HasField("refresh_token"):
            response.refresh_token = f"refresh-{number}"
        return response


class Counted(Hooks):
    def __init__(self) -> None:
        self.renewed: list[bool] = []
        self.told = threading.Semaphore(0)

    def token_renewed(self, ok: bool) -> None:
        self.renewed.append(ok)
        self.told.release()


@pytest.fixture
def signet() -> Signet:
    return Signet()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_800_000_000)


@pytest.fixture
def hooks() -> Counted:
    return Counted()


def source_of(signet: Signet, clock: ManualClock, hooks: Counted, grant: Any = None, **options: Any) -> TokenSource:
    return TokenSource(
        [],
        grant or ClientCredentials(Secret("shop", "a-secret")),
        audience="stock",
        scopes=["stock:read", "stock:write"],
        clock=clock,
        random=lambda: 0.5,
        hooks=hooks,
        issue=signet.issue,
        **options,
    )


def refusal(code: grpc.StatusCode, reason: str, retry_after: float | None = None) -> Refusal:
    return Refusal(code, reason, "refused", retry_after=retry_after)


def test_a_token_is_asked_for_by_audience_and_kept(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    source = source_of(signet, clock, hooks)
    assert [source.token(), source.token()] == ["token-1", "token-1"]
    asked = signet.requests[0]
    assert (asked.scope, list(asked.audiences)) == ("stock:read stock:write", ["stock"])
    assert (asked.client.client_id, asked.client.client_secret) == ("shop", "a-secret")
    assert asked.WhichOneof("grant") == "client_credentials"


def test_it_is_renewed_in_the_background_while_calls_go_on(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    source = source_of(signet, clock, hooks)
    source.token()
    clock.advance(79.9)
    assert source.token() == "token-1"
    assert len(signet.requests) == 1
    signet.gate.clear()
    clock.advance(0.1)
    assert [source.token() for _ in range(5)] == ["token-1"] * 5, "80 % of its life"
    assert signet.asked.acquire(timeout=5)
    assert signet.asked.acquire(timeout=5)
    assert len(signet.requests) == 2
    signet.gate.set()
    for _ in range(2):
        assert hooks.told.acquire(timeout=5)
    assert source.token() == "token-2"


def test_many_threads_wait_for_one_exchange(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    source = source_of(signet, clock, hooks)
    signet.gate.clear()
    with futures.ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(source.token, 10) for _ in range(20)]
        assert signet.asked.acquire(timeout=5)
        signet.gate.set()
        assert {at.result(10) for at in waiting} == {"token-1"}
    assert len(signet.requests) == 1


async def test_coroutines_wait_for_one_exchange_and_one_that_leaves_stops_nobody(
    signet: Signet, clock: ManualClock, hooks: Counted
) -> None:
    source = source_of(signet, clock, hooks)
    signet.gate.clear()
    waiting = [asyncio.ensure_future(source.token_async()) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    with pytest.raises(Refusal) as late:
        await source.token_async(timeout=0.01)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    signet.gate.set()
    assert set(await asyncio.gather(*waiting[1:])) == {"token-1"}
    assert len(signet.requests) == 1


def test_the_deadline_of_a_call_bounds_the_wait(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    source = source_of(signet, clock, hooks)
    signet.gate.clear()
    began = time.monotonic()
    with pytest.raises(Refusal) as caught:
        source.token(timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 5
    signet.gate.set()
    assert source.token(5) == "token-1"


def test_failures_are_tried_again_later_and_the_live_token_goes_on(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    source = source_of(signet, clock, hooks)
    source.token()
    assert hooks.told.acquire(timeout=5)
    signet.fails = refusal(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    clock.advance(80)
    # With random 0.5 the pauses are 0.75, 1.5, 3 and 6 seconds.
    for pause in (0.75, 1.5, 3.0, 6.0):
        before = len(signet.requests)
        assert source.token() == "token-1"
        assert hooks.told.acquire(timeout=5)
        assert source.token() == "token-1"
        assert len(signet.requests) == before + 1, "it is not asked again at once"
        clock.advance(pause)
    clock.advance(20)
    with pytest.raises(Refusal) as caught:
        source.token(5)
    assert (caught.value.code().name, caught.value.reason) == ("UNAVAILABLE", "UNAVAILABLE")
    signet.fails = None
    with pytest.raises(Refusal):
        source.token(5)
    clock.advance(30)
    assert source.token(5).startswith("token-")


def test_a_final_refusal_is_handed_up_as_it_is_and_not_repeated_for_ten_seconds(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    source = source_of(signet, clock, hooks)
    signet.fails = refusal(grpc.StatusCode.UNAUTHENTICATED, "INVALID_CLIENT")
    for _ in range(3):
        with pytest.raises(Refusal) as caught:
            source.token(5)
        assert (caught.value.code().name, caught.value.reason) == ("UNAUTHENTICATED", "INVALID_CLIENT")
    assert len(signet.requests) == 1
    clock.advance(10)
    signet.fails = None
    assert source.token(5) == "token-2"


def test_signet_says_when_to_ask_again(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    source = source_of(signet, clock, hooks)
    signet.fails = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after=8)
    with pytest.raises(Refusal):
        source.token(5)
    signet.fails = None
    clock.advance(7.9)
    with pytest.raises(Refusal):
        source.token(5)
    clock.advance(0.1)
    assert source.token(5) == "token-2"


def test_it_waits_for_a_minute_at_most_whatever_signet_says(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    source = source_of(signet, clock, hooks)
    signet.fails = refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after=9 * 3_600)
    with pytest.raises(Refusal):
        source.token(5)
    signet.fails = None
    clock.advance(59.9)
    with pytest.raises(Refusal):
        source.token(5)
    clock.advance(0.1)
    assert source.token(5) == "token-2"


def test_a_refused_token_is_dropped_once_and_its_replacement_not_at_once(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    source = source_of(signet, clock, hooks)
    first = source.token()
    assert source.drop(first) and source.drop(first), "the second one finds another token, or none"
    second = source.token(5)
    assert source.drop(first), "somebody has got another one meanwhile"
    assert source.token() == second
    assert not source.drop(second), "a token that was just issued in its place"
    clock.advance(7)
    assert source.drop(second)
    assert source.token(5) == "token-3"


# ===== a user's refresh token =====


def test_the_next_refresh_token_is_stored_before_the_access_token_is_used(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    kept: list[str] = []
    source = source_of(signet, clock, hooks, RefreshToken(Certificate("app"), "refresh-0", kept.append))
    assert source.token() == "token-1"
    assert kept == ["refresh-1"]
    clock.advance(100)
    assert source.token() == "token-2"
    assert [asked.refresh_token.refresh_token for asked in signet.requests] == ["refresh-0", "refresh-1"]
    assert signet.requests[0].client.client_id == "app"


class Keeping:
    """A store that fails until it is mended, by a refusal of its own that is final."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.tried: list[str] = []
        self.fails = True

    def __call__(self, token: str) -> None:
        self.tried.append(token)
        if self.fails:
            raise refusal(grpc.StatusCode.PERMISSION_DENIED, "DENIED") from OSError("the disk is full: " + token)
        self.kept.append(token)


def test_an_answer_that_could_not_be_stored_is_stored_first_and_not_asked_for_again(
    signet: Signet, clock: ManualClock, hooks: Counted
) -> None:
    store = Keeping()
    source = source_of(signet, clock, hooks, RefreshToken(None, "refresh-0", store))
    for _ in range(3):
        with pytest.raises(Refusal) as caught:
            source.token(5)
        assert (caught.value.code().name, caught.value.reason) == ("UNAVAILABLE", "UNAVAILABLE")
        assert "refresh-" not in str(caught.value)
        clock.advance(6)
    assert len(signet.requests) == 1, "Signet would take a repeat for theft"
    store.fails = False
    assert source.token(5) == "token-1"
    assert (store.tried, store.kept) == (["refresh-1"] * 4, ["refresh-1"])
    clock.advance(81)
    assert source.token(5) == "token-1", "its life is counted from when it was asked for"
    assert hooks.told.acquire(timeout=5)
    clock.advance(19)
    assert source.token(5) == "token-2"
    assert [asked.refresh_token.refresh_token for asked in signet.requests] == ["refresh-0", "refresh-1"]
    assert not signet.requests[0].HasField("client")


def test_an_answer_whose_token_has_expired_meanwhile_is_stored_and_exchanged(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    store = Keeping()
    source = source_of(signet, clock, hooks, RefreshToken(None, "refresh-0", store))
    with pytest.raises(Refusal):
        source.token(5)
    store.fails = False
    clock.advance(200)
    assert source.token(5) == "token-2"
    assert store.kept == ["refresh-1", "refresh-2"]
    assert [asked.refresh_token.refresh_token for asked in signet.requests] == ["refresh-0", "refresh-1"]


def test_a_store_that_takes_too_long_counts_as_failed(
    signet: Signet, clock: ManualClock, hooks: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signet_sdk.token_source.STORE_TIMEOUT", 0.01)
    over = threading.Event()
    begun: list[str] = []

    def store(token: str) -> None:
        begun.append(token)
        over.wait(10)

    source = source_of(signet, clock, hooks, RefreshToken(None, "refresh-0", store))
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            source.token(5)
        assert caught.value.details() == "no access token could be got: the next refresh token could not be stored"
        clock.advance(60)
    # What goes on is waited for: beside it, an older token could be written over a newer one.
    assert begun == ["refresh-1"]
    over.set()
    monkeypatch.setattr("signet_sdk.token_source.STORE_TIMEOUT", 10)
    assert source.token(5)
    assert begun == ["refresh-1", "refresh-2"], "in their order, each once"


def test_a_refresh_grant_is_for_one_source(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    grant = RefreshToken(None, "refresh-0", print)
    with pytest.raises(ValueError, match="audience"):
        TokenSource([], grant, audience="")
    source_of(signet, clock, hooks, grant)
    with pytest.raises(ValueError, match="has a source already"):
        source_of(signet, clock, hooks, grant)
    shared = ClientCredentials(Secret("shop", "s"))
    for _ in range(2):
        source_of(signet, clock, hooks, shared)


async def test_an_asynchronous_store_runs_in_the_loop_of_the_application(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    loop, kept = asyncio.get_running_loop(), []

    async def store(token: str) -> None:
        await asyncio.sleep(0)
        kept.append((token, asyncio.get_running_loop()))

    source = source_of(signet, clock, hooks, RefreshToken(None, "refresh-0", store))
    assert await source.token_async() == "token-1"
    assert kept == [("refresh-1", loop)]


def test_an_asynchronous_store_needs_a_loop(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    async def store(token: str) -> None: ...

    with pytest.raises(ValueError, match="event loop"):
        source_of(signet, clock, hooks, RefreshToken(None, "refresh-0", store))


# ===== proofs =====


@pytest.mark.parametrize(
    ("make", "alg"),
    [
        (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ed25519.Ed25519PrivateKey.generate, "EdDSA"),
        (lambda: rsa.generate_private_key(65537, 2048), "RS256"),
    ],
)
def test_an_assertion_is_for_the_issuer_alone_and_never_the_same(make: Callable[[], Any], alg: str) -> None:
    key = make()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    proof = SigningKey.from_pem("shop", ISSUER, pem, kid="k1")
    seen = set()
    for _ in range(2):
        told = proof.authentication(1_800_000_000)
        header = jwt.get_unverified_header(told.client_assertion)
        assert header == {"typ": "client-authentication+jwt", "alg": alg, "kid": "k1"}
        claims = jwt.decode(
            told.client_assertion, key.public_key(), [alg], audience=ISSUER, options={"verify_exp": False, "verify_iat": False}
        )
        assert (claims["iss"], claims["sub"], claims["aud"], claims["exp"] - claims["iat"]) == ("shop", "shop", ISSUER, 60)
        assert claims["iat"] == 1_800_000_000
        seen.add(claims["jti"])
    assert len(seen) == 2


def test_keys_of_other_kinds_sign_nothing() -> None:
    with pytest.raises(ValueError, match="P-256"):
        SigningKey("shop", ISSUER, ec.generate_private_key(ec.SECP384R1()))


def test_nothing_that_is_shown_has_a_secret_in_it(signet: Signet, clock: ManualClock, hooks: Counted) -> None:
    proof = Secret("shop", "a-secret")
    key = SigningKey("shop", ISSUER, ed25519.Ed25519PrivateKey.generate())
    for shown in (proof, ClientCredentials(proof), RefreshToken(proof, "refresh-0", print), key, source_of(signet, clock, hooks)):
        assert not any(secret in repr(shown) for secret in ("a-secret", "refresh-0", "Ed25519"))


# ===== addresses =====


class Issuing(identity_grpc.IdentityServiceServicer):
    def IssueToken(self, request: Any, context: Any) -> Any:  # noqa: N802
        return identity.IssueTokenResponse(access_token="from-a-replica", expires_in=100)


def test_the_next_address_answers_where_one_does_not() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    identity_grpc.add_IdentityServiceServicer_to_server(cast("Any", Issuing)(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        source = TokenSource(["127.0.0.1:1", f"localhost:{port}"], ClientCredentials(Secret("shop", "s")), audience="stock")
        assert source.token(10) == "from-a-replica"
        source.close()
    finally:
        server.stop(None).wait()


class Away(identity_grpc.IdentityServiceServicer):
    def __init__(self) -> None:
        self.assertions: list[str] = []

    def IssueToken(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.assertions.append(request.client.client_assertion)
        context.abort(grpc.StatusCode.UNAVAILABLE, "it has taken the assertion, and cannot answer")


def test_each_address_gets_an_assertion_of_its_own() -> None:
    server, away = grpc.server(futures.ThreadPoolExecutor(2)), cast("Any", Away)()
    identity_grpc.add_IdentityServiceServicer_to_server(away, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    proof = SigningKey("shop", ISSUER, ed25519.Ed25519PrivateKey.generate())
    source = TokenSource([f"127.0.0.1:{port}", f"localhost:{port}"], ClientCredentials(proof), audience="stock")
    try:
        with pytest.raises(Refusal):
            source.token(20)
        assert len(set(away.assertions)) == 2
    finally:
        source.close()
        server.stop(None).wait()


def test_a_secret_goes_in_plaintext_to_this_machine_alone_unless_the_code_says_why() -> None:
    def make(address: str, **options: Any) -> TokenSource:
        return TokenSource([address], ClientCredentials(Secret("shop", "s")), audience="stock", **options)

    for near in ("127.0.0.1:50051", "127.9.9.9:1", "[::1]:50051", "localhost:50051", "unix:///run/signet.sock", "dns:///localhost:1"):
        make(near)
    for far in ("id.example:50051", "10.0.0.1:50051", "0.0.0.0:50051", "localhost.example:1", "dns:///id.example", "[::]:50051"):
        with pytest.raises(PlaintextError):
            make(far)
        with pytest.raises(PlaintextError):
            make(far, allow_plaintext=" ")
        make(far, allow_plaintext="the sidecar encrypts")
        make(far, channel_credentials=grpc.ssl_channel_credentials())
