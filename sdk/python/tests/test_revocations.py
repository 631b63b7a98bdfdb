"""Owns the tests of following what was revoked: from one replica to the next, and what is kept of it."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from identity.events.v1 import event_service_pb2 as events
from signet_sdk import Access, Hooks, Refusal, Revocations, Rule, Secret, Verifier
from signet_sdk._fetch import Fetched
from signet_sdk._revoked import Revoked
from signet_sdk.testing import ManualClock, TestIssuer

SESSION = "d4addbc8-2829-5a91-ba9c-6575031097fc"
SUBJECT, CLIENT = "08f672c7-084d-5519-847e-13cf6774354e", "5a3b7ad0-3e5c-5b8e-9c34-2f0d6b1f6f10"


def snapshot(is_last: bool = True, resume: bytes = b"", **more: Any) -> events.WatchResponse:
    return events.WatchResponse(resume_token=resume, snapshot=events.Snapshot(is_last=is_last, **more))


def changes(resume: bytes = b"", **more: Any) -> events.WatchResponse:
    return events.WatchResponse(resume_token=resume, changes=events.Changes(**more))


HEARTBEAT = events.WatchResponse(heartbeat=events.Heartbeat())
RESYNC = events.WatchResponse(resync=events.Resync())


class Stream:
    """A stream that says what it is told to."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.is_cancelled = threading.Event()

    def __iter__(self) -> Iterator[events.WatchResponse]:
        while True:
            said = self.told.get(timeout=10)
            if said is None:
                return
            if isinstance(said, Exception):
                raise said
            yield said

    def cancel(self) -> None:
        self.is_cancelled.set()
        self.told.put(Refusal(grpc.StatusCode.CANCELLED, "CANCELLED", "cancelled"))


class Signet:
    """Replicas whose streams are told by hand."""

    def __init__(self) -> None:
        self.opened: queue.SimpleQueue[tuple[str, bytes, Stream]] = queue.SimpleQueue()
        self.refuses: list[Exception] = []

    def watch(self, address: str, request: events.WatchRequest) -> Stream:
        stream = Stream()
        self.opened.put((address, request.resume_token, stream))
        if self.refuses:
            raise self.refuses.pop(0)
        return stream

    def next(self) -> tuple[str, bytes, Stream]:
        return self.opened.get(timeout=10)


class World:
    def __init__(self, **options: Any) -> None:
        self.signet, self.issuer = Signet(), TestIssuer()
        self.clock = self.issuer.clock
        self.states: queue.SimpleQueue[str] = queue.SimpleQueue()
        hooks = Hooks()
        hooks.revocations = self.states.put  # type: ignore[method-assign,assignment]
        self.revocations = Revocations(["127.0.0.1:1", "127.0.0.1:2"], Secret("events", "s"), random=lambda: 0.5, watch=self.signet.watch)
        self.fetches = 0
        self.verifier = Verifier(
            self.issuer.issuer,
            "stock",
            revocations=self.revocations,
            clock=self.clock,
            hooks=hooks,
            key_source=self.key_set,
            **options,
        )
        self.verifier.start()

    def key_set(self) -> Fetched:
        self.fetches += 1
        return Fetched(self.issuer.key_set(), 3_600)

    def state(self) -> str:
        return self.states.get(timeout=10)

    def reopened(self) -> tuple[str, bytes, Stream]:
        """The next stream, which is opened after a pause: from when on that is, is not known."""
        for _ in range(200):
            self.clock.advance(0.5)
            with contextlib.suppress(queue.Empty):
                return self.signet.opened.get(timeout=0.05)
        raise AssertionError("no stream was opened")

    def heard(self, stream: Stream, message: events.WatchResponse) -> None:
        """Returns when `message` has been taken in."""
        before = self.revocations.revoked.heard
        stream.told.put(message)
        changed = self.verifier._keys.changed
        with changed:
            assert changed.wait_for(lambda: self.revocations.revoked.heard > before, 10)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.verifier.close()


def test_no_call_passes_before_the_snapshot_is_complete(world: World) -> None:
    token = world.issuer.token(audiences=["stock"])
    assert world.state() == "connecting"
    _, resume, stream = world.signet.next()
    assert resume == b""
    for message, ready in ((snapshot(is_last=False), False), (snapshot(), True)):
        with pytest.raises(Refusal) as caught:
            world.verifier.verify(token, timeout=5)
        assert caught.value.reason == "UNAVAILABLE"
        assert not world.verifier.is_ready()
        world.clock.advance(1)
        world.heard(stream, message)
        assert world.verifier.is_ready() == ready
    assert world.state() == "complete"
    assert world.verifier.verify(token, timeout=5).kind == "user"
    assert world.verifier.ready(5)


def test_it_goes_on_at_another_replica_where_it_stopped(world: World) -> None:
    address, _, stream = world.signet.next()
    assert address == "127.0.0.1:1"
    world.heard(stream, snapshot(resume=b"one"))
    world.clock.advance(1)
    world.heard(stream, changes(resume=b"two", ended_sessions=[SESSION]))
    stream.told.put(None)
    assert [world.state() for _ in range(3)] == ["connecting", "complete", "down"]
    address, resume, stream = world.reopened()
    assert (address, resume) == ("127.0.0.1:2", b"two")
    assert world.state() == "connecting"
    world.clock.advance(0.5)
    world.heard(stream, HEARTBEAT)
    assert world.state() == "complete"
    token = world.issuer.token(audiences=["stock"], session_id=SESSION)
    with pytest.raises(Refusal) as caught:
        world.verifier.verify(token, timeout=5)
    assert caught.value.reason == "TOKEN_REVOKED"


def test_a_stream_that_is_silent_for_thirty_seconds_is_given_up(world: World) -> None:
    _, _, stream = world.signet.next()
    world.heard(stream, snapshot())
    world.clock.advance(29)
    assert not stream.is_cancelled.is_set()
    world.clock.advance(1)
    assert stream.is_cancelled.wait(10)
    assert world.reopened()[0] == "127.0.0.1:2"


def test_while_nothing_is_heard_calls_go_on_for_a_while_alone(world: World) -> None:
    token = world.issuer.token(audiences=["stock"])
    _, _, stream = world.signet.next()
    world.heard(stream, snapshot())
    world.clock.advance(30)
    assert world.verifier.verify(token, timeout=5).kind == "user"
    world.clock.advance(0.5)
    with pytest.raises(Refusal) as caught:
        world.verifier.verify(token, timeout=5)
    assert caught.value.reason == "UNAVAILABLE"
    assert caught.value.retry_after == 1


def test_a_resync_forgets_the_place_and_fetches_the_keys(world: World) -> None:
    _, _, stream = world.signet.next()
    world.heard(stream, snapshot(resume=b"one", changes=events.Changes(ended_sessions=[SESSION])))
    changed = world.verifier._keys.changed
    with changed:
        assert changed.wait_for(lambda: world.verifier._keys._ended >= 1 and not world.verifier._keys.is_wanted(), 10)
    before = world.fetches
    world.clock.advance(1)
    world.heard(stream, RESYNC)
    stream.told.put(None)
    with changed:
        assert changed.wait_for(lambda: world.verifier._keys._ended > before, 10)
    assert world.state() and world.revocations.revoked.size() == 1, "what was told still counts"
    assert world.reopened()[1] == b""


def test_keys_that_have_changed_are_fetched_at_once(world: World) -> None:
    _, _, stream = world.signet.next()
    world.heard(stream, snapshot())
    changed = world.verifier._keys.changed
    with changed:
        assert changed.wait_for(lambda: world.verifier._keys._ended >= 1 and not world.verifier._keys.is_wanted(), 10)
    before = world.fetches
    world.clock.advance(1)
    world.heard(stream, changes(keys_changed=True))
    with changed:
        assert changed.wait_for(lambda: world.verifier._keys._ended == before + 1, 10)


@pytest.mark.parametrize(
    ("code", "reason", "retry_after", "pause"),
    [
        ("UNAVAILABLE", "UNAVAILABLE", None, 1),
        ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", None, 1),
        ("RESOURCE_EXHAUSTED", "OVERLOADED", None, 10),
        ("RESOURCE_EXHAUSTED", "OVERLOADED", 7.0, 7),
        ("RESOURCE_EXHAUSTED", "OVERLOADED", 9 * 3_600.0, 60),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED", None, 1),
        ("UNAUTHENTICATED", "INVALID_CLIENT", None, 30),
        ("PERMISSION_DENIED", "INSUFFICIENT_SCOPE", None, 30),
        ("INVALID_ARGUMENT", "INVALID_SCOPE", None, 30),
    ],
)
def test_after_a_refusal_it_waits(code: str, reason: str, retry_after: float | None, pause: float) -> None:
    signet = Signet()
    revocations = Revocations(["127.0.0.1:1"], Secret("events", "s"), random=lambda: 0.5, watch=signet.watch)
    refusal = Refusal(grpc.StatusCode[code], reason, "refused", retry_after=retry_after)
    signet.refuses = [refusal, OSError("the network")]
    assert revocations.follow() == pause + 0.5
    assert revocations.follow() == 1.5


def test_a_stream_that_has_begun_is_followed_by_the_next_one_at_once() -> None:
    signet = Signet()
    revocations = Revocations(["127.0.0.1:1"], Secret("events", "s"), random=lambda: 0.25, watch=signet.watch)

    def told() -> None:
        _, _, stream = signet.next()
        stream.told.put(snapshot())
        stream.told.put(Refusal(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED", "its own token has expired"))

    threading.Thread(target=told).start()
    assert revocations.follow() == 0.25


# ===== what is kept =====


def test_what_is_too_old_is_dropped() -> None:
    clock = ManualClock(1_800_000_000)
    revoked = Revoked(clock)
    until = Timestamp(seconds=1_800_000_006)
    revoked.hear(snapshot(keep_for=Duration(seconds=900), changes=events.Changes(ended_sessions=["a"])))
    revoked.hear(
        changes(
            ended_user_sessions=[events.EndedUserSessions(subject="u", time=until)],
            ended_clients=[events.EndedClient(client_id="c", time=until)],
            taken_scopes=[events.TakenScopes(subject="u", audience="stock", scopes=["x", "y"], time=until)],
        )
    )
    assert revoked.size() == 5
    clock.advance(600)
    revoked.hear(changes(ended_sessions=["b"]))
    assert revoked.size() == 6
    clock.advance(300)
    revoked.hear(HEARTBEAT)
    assert revoked.size() == 6, "for as long as it must be kept"
    clock.advance(61)
    revoked.hear(HEARTBEAT)
    assert revoked.size() == 1


def test_of_more_changes_than_are_kept_every_token_issued_by_then_is_refused() -> None:
    issuer = TestIssuer()
    revoked = Revoked(issuer.clock, max_changes=3)
    claims = [issuer_claims(issuer, at) for at in (0, 1)]
    revoked.hear(snapshot(changes=events.Changes(ended_sessions=["a", "b", "c"])))
    assert (revoked.size(), revoked.hits(claims[0])) == (3, False)
    revoked.hear(changes(ended_sessions=["d"]))
    assert (revoked.size(), [revoked.hits(one) for one in claims]) == (0, [True, False])


def issuer_claims(issuer: TestIssuer, later: float) -> Any:
    """The claims of a token that is issued so many seconds later."""
    now = int(issuer.clock.now() + later)
    verifier = issuer.verifier("stock")
    rule = Access("authenticated", Rule())
    token = issuer.token(audiences=["stock"], claims={"iat": now})
    with verifier:
        return verifier.drive(verifier.admit(rule, "", [f"Bearer {token}"])).claims


@pytest.mark.parametrize(
    "told",
    [
        {"ended_user_sessions": [events.EndedUserSessions(subject=SUBJECT)]},
        {"ended_clients": [events.EndedClient(client_id=CLIENT)]},
        {"taken_scopes": [events.TakenScopes(audience="stock", scopes=["stock:write"])]},
    ],
)
def test_what_does_not_say_until_when_revokes_every_token_that_it_names(told: dict[str, Any]) -> None:
    issuer = TestIssuer()
    verifier = issuer.verifier("stock")
    hit = {"sub": SUBJECT, "client_id": CLIENT, "audiences": ["stock"], "scopes": ["stock:write"]}
    issuer.tell(changes(**told))
    with pytest.raises(Refusal) as caught:
        verifier.verify(issuer.token(**hit))  # type: ignore[arg-type]
    assert caught.value.reason == "TOKEN_REVOKED"
    verifier.verify(issuer.token(audiences=["stock"], scopes=["stock:read"]))
    verifier.close()


def test_readers_and_the_one_that_is_told_do_not_disturb_each_other() -> None:
    issuer = TestIssuer()
    verifier = issuer.verifier("stock")
    token = issuer.token(audiences=["stock"])
    failures: list[BaseException] = []
    over = threading.Event()

    def read() -> None:
        try:
            while not over.is_set():
                verifier.verify(token)
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for at in range(500):
        issuer.clock.advance(10)
        issuer.tell(changes(ended_sessions=[f"{at}-{more}" for more in range(20)]))
        if at % 80 == 0:
            # The token expires meanwhile, and so do the readers' errors.
            assert all(isinstance(error, Refusal) and error.reason == "TOKEN_EXPIRED" for error in failures)
    over.set()
    for reader in readers:
        reader.join(10)
    assert all(isinstance(error, Refusal) and error.reason == "TOKEN_EXPIRED" for error in failures)
    verifier.close()
