"""Owns the tests of what a verifier says: its sentences are Signet's own, and a closed one lets nobody in."""

from __future__ import annotations

from typing import Any

import pytest

from signet_sdk import Access, Refusal, Rule, Verifier
from signet_sdk._streams import OpenStream
from signet_sdk.claims import Claims
from signet_sdk.testing import TestIssuer

SENTENCES: list[tuple[Rule, dict[str, Any], str]] = [
    (Rule(), {"audiences": ["orders"]}, "the access token is invalid: it is meant for another audience"),
    (Rule(), {"claims": {"jti": None}}, "the access token is invalid: it lacks required claims"),
    (Rule(), {"header": {"kid": "other"}}, "the access token is invalid: its key is unknown"),
    (Rule(), {"lifetime": -5}, "the access token has expired"),
    (Rule(callers="client"), {}, "only a client by itself may call this"),
    (Rule(callers="user"), {"client": True}, "only a user may call this"),
    (Rule(required_scopes=("a", "b")), {"scopes": ["a"]}, "the scope `b` is needed, and was not granted"),
    (Rule(any_scopes=("a", "b")), {}, "one of the scopes `a`, `b` is needed, and was not granted"),
    (Rule(any_roles=("a",)), {"roles": ["c"]}, "the role `a` is needed, and was not given"),
    (Rule(any_roles=("a", "b")), {"roles": ["c"]}, "one of the roles `a`, `b` is needed, and was not given"),
    (Rule(any_roles=("a",)), {"claims": {"roles_omitted": True}}, "the service cannot reach its roles of the caller at the moment"),
]


@pytest.mark.parametrize(("rule", "options", "sentence"), SENTENCES)
def test_refusals_are_signets_own_word_for_word(rule: Rule, options: dict[str, Any], sentence: str) -> None:
    issuer = TestIssuer()
    asked = {"audiences": ["stock"], **options}
    token = issuer.client_token(**asked) if asked.pop("client", False) else issuer.token(**asked)
    with issuer.verifier("stock") as verifier:
        if "header" in options:
            # Keys are fetched anew after a pause.
            issuer.clock.advance(5)
        with pytest.raises(Refusal) as caught:
            verifier.verify(token, rule, timeout=5)
    assert caught.value.details() == sentence
    assert caught.value.metadata["audience"] == "stock"
    assert "method" not in caught.value.metadata


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("undeclared", "this method declares no access rule, so nobody may call it"),
        ("not_understood", "this method declares no access rule, so nobody may call it"),
        ("unknown", "this method is not in the policy of the service, so nobody may call it"),
    ],
)
def test_what_declares_nothing_and_what_is_not_known_are_told_apart(kind: Any, sentence: str) -> None:
    verifier = TestIssuer().verifier("stock")
    with pytest.raises(Refusal) as caught:
        verifier.drive(verifier.admit(Access(kind), "/a.B/C", []))
    assert (caught.value.reason, caught.value.details()) == ("ACCESS_UNDECLARED", sentence)
    verifier.close()


def test_a_closed_verifier_ends_its_streams_and_refuses_later_calls() -> None:
    issuer = TestIssuer()
    verifier = issuer.verifier("stock")
    token = issuer.token(audiences=["stock"])
    ended: list[Refusal] = []
    verifier.verify(token)
    admission = verifier.drive(verifier.admit(Access("authenticated", Rule()), "/a.B/C", [f"Bearer {token}"]))
    claims: Claims = admission.claims
    verifier.streams.open(OpenStream(claims, "stock", "/a.B/C", ended.append))
    verifier.close()
    assert [(refusal.reason, refusal.metadata["method"]) for refusal in ended] == [("UNAVAILABLE", "/a.B/C")]
    with pytest.raises(Refusal) as caught:
        verifier.verify(token)
    assert caught.value.reason == "UNAVAILABLE"
    with pytest.raises(Refusal, match="UNAVAILABLE"):
        verifier.streams.open(OpenStream(claims, "stock", "/a.B/C", ended.append))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"audience": ""}, "audience must not be empty"),
        ({"leeway": -1}, "leeway must not be negative"),
        ({"cache_size": -1}, "cache_size must not be negative"),
        ({"when_stale": "maybe"}, 'when_stale must be "refuse" or "continue"'),
    ],
)
def test_a_setting_that_breaks_its_rule_is_named(setting: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Verifier("https://id.example", **{"audience": "stock", **setting})


def test_without_a_cache_each_token_is_verified_anew() -> None:
    issuer = TestIssuer()
    verifier = issuer.verifier("stock", cache_size=0)
    token = issuer.token(audiences=["stock"])
    assert verifier.verify(token) == verifier.verify(token)
    assert not verifier._seen
    verifier.close()
