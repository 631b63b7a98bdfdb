"""Owns the tests of the keys of the issuer: when they are fetched, who waits for them, and from where they come."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import pytest

from signet_sdk import Hooks, Refusal, Rule, Verifier, _fetch
from signet_sdk._fetch import Fetched, FetchError, HttpKeySource, max_age, metadata_addresses
from signet_sdk._key_fetcher import KeyFetcher, fresh_for, retry_after
from signet_sdk._key_store import MAX_STALENESS, MAX_WAITERS, KeyStore
from signet_sdk.jwk import read_key_set
from signet_sdk.testing import ManualClock, TestIssuer


class Source:
    """An issuer that answers what it is told to, or not at all."""

    def __init__(self) -> None:
        self.issuer = TestIssuer()
        self.fails = False
        self.fetches = 0
        self.max_age: float | None = None

    def __call__(self) -> Fetched:
        self.fetches += 1
        if self.fails:
            raise FetchError("it is away")
        return Fetched(self.issuer.key_set(), self.max_age)


class World:
    """A store and its fetcher, driven by hand."""

    def __init__(self) -> None:
        self.clock, self.source = ManualClock(1_800_000_000), Source()
        self.store = KeyStore(self.clock)
        self.told: list[bool] = []
        hooks = Hooks()
        hooks.keys_fetched = self.told.append  # type: ignore[method-assign,assignment]
        self.fetcher = KeyFetcher(self.store, self.source, self.clock, lambda: 0.5, hooks)

    def kid(self) -> str:
        return self.source.issuer._signing

    def is_due(self) -> bool:
        with self.store.changed:
            return self.store.is_wanted() and self.store.earliest() <= self.clock.monotonic()


@pytest.fixture
def world() -> World:
    return World()


def test_the_first_calls_wait_for_the_first_fetch(world: World) -> None:
    waiting = [world.store.find(world.kid()) for _ in range(3)]
    assert world.is_due()
    world.fetcher.fetch()
    assert all(at is not None and at.result(0) is world.store.get(world.kid()) for at in waiting)
    assert world.source.fetches == 1
    assert world.told == [True]


def test_while_the_issuer_is_away_calls_are_unavailable_and_the_last_keys_go_on(world: World) -> None:
    world.source.fails = True
    waiting = world.store.find(world.kid())
    assert waiting is not None
    assert world.fetcher.fetch() == 0.75
    assert isinstance(waiting.exception(0), Refusal)
    again = world.store.find(world.kid())
    assert again is not None and isinstance(again.exception(0), Refusal), "at once, while it has just failed"
    world.source.fails = False
    world.clock.advance(5)
    world.fetcher.fetch()
    key = world.store.get(world.kid())
    assert key is not None
    world.source.fails = True
    for pause in (0.75, 1.5, 3, 6, 12, 24, 45, 45):
        assert world.fetcher.fetch() == pause
    world.clock.advance(MAX_STALENESS - 1)
    assert world.store.get(world.kid()) is key
    world.clock.advance(1)
    assert world.store.get(world.kid()) is None, "for a day"


def test_a_key_stays_the_same_object_across_fetches(world: World) -> None:
    world.fetcher.fetch()
    key = world.store.get(world.kid())
    world.source.issuer.rotate_key()
    world.fetcher.fetch()
    assert key is not None and world.store.get(key.kid) is key
    assert world.store.get(world.kid()) is not None


def test_an_unknown_key_asks_once_in_five_seconds_and_then_no_more(world: World) -> None:
    world.fetcher.fetch()
    waiting = [world.store.find("invented"), world.store.find("invented"), world.store.find("other")]
    assert not world.is_due(), "the last fetch has just begun"
    world.clock.advance(5)
    assert world.is_due()
    world.fetcher.fetch()
    assert [at.result(0) for at in waiting if at is not None] == [None] * 3
    assert world.store.find("invented") is None, "at once"
    assert world.store.find("new") is not None, "which was first named after that fetch began"
    world.clock.advance(5)
    later = world.store.find("invented")
    assert later is not None and not later.done(), "it may have come meanwhile"


def test_a_fetch_that_had_begun_before_a_key_was_named_does_not_decide_on_it(world: World) -> None:
    world.fetcher.fetch()
    world.clock.advance(5)
    world.store.begin()
    named = world.store.find("new")
    assert named is not None
    world.store.succeed(world.store.keys())
    assert not named.done()
    assert not world.is_due()
    world.clock.advance(5)
    assert world.is_due()
    world.fetcher.fetch()
    assert named.result(0) is None


def test_a_flood_of_names_is_bounded(world: World) -> None:
    world.fetcher.fetch()
    for at in range(MAX_WAITERS):
        assert world.store.find(f"invented-{at}") is not None
    with pytest.raises(Refusal) as caught:
        world.store.find("one-more")
    assert caught.value.reason == "UNAVAILABLE"
    world.clock.advance(5)
    world.fetcher.fetch()
    assert world.source.fetches == 2
    assert len(world.store._waiters) == 0
    for at in range(5_000):
        with contextlib.suppress(Refusal):
            world.store.find(f"more-{at}")
    assert len(world.store._sightings) <= 1_024


def test_calls_that_leave_give_their_places_back(world: World) -> None:
    world.fetcher.fetch()
    for at in range(MAX_WAITERS * 2):
        waiting = world.store.find(f"invented-{at}")
        assert waiting is not None
        waiting.cancel()
    assert len(world.store._waiters) <= 1


def test_changed_keys_are_fetched_at_once_also_during_a_fetch(world: World) -> None:
    world.fetcher.fetch()
    world.store.want()
    assert world.is_due()
    world.store.begin()
    assert not world.is_due()
    world.store.want()
    world.store.succeed(world.store.keys())
    assert world.is_due()


def test_pauses_are_spread() -> None:
    assert [fresh_for(None, at) for at in (0.0, 1.0)] == [240, 300]
    assert [fresh_for(1_000, at) for at in (0.0, 1.0)] == [800, 1_000]
    assert [fresh_for(0, 0.5), fresh_for(1e9, 1.0)] == [30, 3_600]
    assert [retry_after(1, 0.0), retry_after(1, 1.0), retry_after(100, 1.0)] == [0.5, 1, 60]


def test_the_thread_fetches_in_time(world: World) -> None:
    verifier = Verifier(world.source.issuer.issuer, "stock", clock=world.clock, random=lambda: 1.0, key_source=world.source)
    with verifier:
        assert verifier.ready(5)
        fetched = verifier._keys
        for fetches, seconds in ((2, 300), (3, 300)):
            world.clock.advance(seconds)
            with fetched.changed:
                assert fetched.changed.wait_for(lambda expected=fetches: fetched._ended == expected, 5)  # type: ignore[misc]


def test_a_verifier_waits_no_longer_than_its_caller(world: World) -> None:
    gate = threading.Event()

    def stuck() -> Fetched:
        assert gate.wait(30)
        raise FetchError("it is away")

    verifier = Verifier(world.source.issuer.issuer, "stock", clock=world.clock, key_source=stuck)
    with pytest.raises(Refusal) as caught:
        verifier.verify(world.source.issuer.token(audiences=["stock"]), timeout=0.05)
    assert caught.value.reason == "UNAVAILABLE"
    assert not verifier.ready(0)
    gate.set()
    verifier.close()


def test_a_revoked_key_takes_its_tokens_with_it() -> None:
    issuer = TestIssuer()
    verifier = issuer.verifier("stock")
    old, token = issuer._signing, issuer.token(audiences=["stock"])
    assert verifier.verify(token).kind == "user"
    issuer.rotate_key()
    issuer.revoke_key(old)
    store = verifier._keys
    with store.changed:
        assert store.changed.wait_for(lambda: store.get(old) is None, 5)
    issuer.clock.advance(5)
    with pytest.raises(Refusal) as caught:
        verifier.verify(token, Rule())
    assert caught.value.reason == "TOKEN_INVALID"
    verifier.close()


def test_the_cache_is_bounded_and_holds_what_lets_in_alone() -> None:
    issuer = TestIssuer()
    verifier = issuer.verifier("stock", cache_size=10)
    tokens = [issuer.token(audiences=["stock"]) for _ in range(30)]
    with futures.ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(verifier.verify, tokens * 5))) == 150
    assert len(verifier._seen) == 10
    before = list(verifier._seen)
    for bad in (issuer.token(audiences=["orders"]), issuer.token(audiences=["stock"], lifetime=-100)):
        with pytest.raises(Refusal):
            verifier.verify(bad)
    assert list(verifier._seen) == before
    verifier.close()


# ===== HTTP =====


class Web:
    """A web server that answers what it is told to."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.paths: list[str] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.paths.append(self.path)
                status, headers, body = web.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in ({"content-length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def says(self, path: str, body: Any, status: int = 200, **headers: str) -> None:
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = (status, {name.replace("_", "-"): value for name, value in headers.items()}, encoded)


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.server.shutdown()
    web.server.server_close()


RFC_8414, OPENID = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"


@pytest.mark.parametrize("place", [RFC_8414, OPENID])
def test_the_keys_are_found_by_the_metadata_once(web: Web, place: str) -> None:
    web.says(place, {"issuer": web.url, "jwks_uri": f"{web.url}/jwks"})
    web.says("/jwks", TestIssuer().key_set(), cache_control="public, max-age=60")
    source = HttpKeySource(web.url)
    for _ in range(2):
        fetched = source()
        assert len(read_key_set(fetched.document)) == 1
        assert fetched.max_age == 60
    assert web.paths == [RFC_8414, "/jwks", "/jwks"] if place == RFC_8414 else [RFC_8414, OPENID, "/jwks", "/jwks"]
    web.says("/jwks", b"", 410)
    web.says(place, {"issuer": web.url, "jwks_uri": f"{web.url}/moved"})
    web.says("/moved", TestIssuer().key_set())
    with pytest.raises(FetchError):
        source()
    source()


def test_metadata_of_another_issuer_lead_nowhere(web: Web) -> None:
    web.says("/jwks", TestIssuer().key_set())
    web.says(OPENID, {"issuer": web.url, "jwks_uri": f"{web.url}/jwks"})
    for issuer in (web.url + "/", "https://evil.example", None):
        web.says(RFC_8414, {"issuer": issuer, "jwks_uri": f"{web.url}/jwks"})
        with pytest.raises(FetchError, match="another issuer"):
            HttpKeySource(web.url)()
    for uri in ("file:///etc/passwd", "/jwks", "http://u@127.0.0.1/", None, 1):
        web.says(RFC_8414, {"issuer": web.url, "jwks_uri": uri})
        with pytest.raises(FetchError, match="jwks_uri"):
            HttpKeySource(web.url)()


def test_nothing_leads_from_https_to_http() -> None:
    source = HttpKeySource("https://id.example")
    document = json.dumps({"issuer": "https://id.example", "jwks_uri": "http://id.example/jwks"}).encode()
    with pytest.raises(FetchError, match="not https"):
        source._jwks_uri("there", document)


def test_nothing_is_followed_and_nothing_large_is_read(web: Web) -> None:
    web.says("/elsewhere", TestIssuer().key_set())
    source = HttpKeySource("http://id.example", f"{web.url}/jwks")
    for answer in (
        (302, {"location": f"{web.url}/elsewhere"}, b""),
        (200, {}, b" " * (1024 * 1024 + 1)),
        (200, {"content-length": "100"}, b"{}"),
        (204, {}, b""),
        (500, {}, b"{}"),
    ):
        web.answers["/jwks"] = answer
        with pytest.raises(FetchError):
            if answer[1].get("content-length"):
                # It never comes to its end: given up after a while.
                quick(source)
            else:
                source()
    assert "/elsewhere" not in web.paths


def quick(source: Callable[[], Fetched]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_fetch, "TIMEOUT", 0.2)
        source()


def test_an_issuer_is_an_address_that_can_be_read_in_one_way() -> None:
    for good in ("https://id.example", "http://127.0.0.1:8080", "https://id.example/a/b", "https://id.example/"):
        HttpKeySource(good)
    for bad in ("", "id.example", "ftp://id.example", "https://", "https://id.example?a", "https://id.example#a",
                "https://id.example/../a", "https://id.example//a", "https://id.example/%61", "https://user@id.example",
                "https://id.example:99999", "https://id.example\\@evil.example"):  # fmt: skip
        with pytest.raises(ValueError, match=r"must|[Pp]ort"):
            HttpKeySource(bad)
    assert metadata_addresses("http://id.example:8080/a/b/") == [
        "http://id.example:8080/.well-known/oauth-authorization-server/a/b",
        "http://id.example:8080/a/b/.well-known/openid-configuration",
    ]


def test_what_the_issuer_says_of_freshness_is_heeded() -> None:
    assert max_age(["public, max-age=300"], None) == 300
    assert max_age(['Max-Age="300"'], "100") == 200
    assert max_age(["max-age=300"], "1000") == 0
    assert max_age(["no-cache, max-age=300"], None) == 0
    assert max_age(["max-age=-1"], None) is None
    assert max_age(["s-maxage=5"], None) is None
    assert max_age([], "5") is None
