"""Owns the tests of what must hold for any bytes: of a token, of its claims, of a policy."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.v1 import access_pb2
from signet_sdk import Policy, PolicyError, Refusal, Rule
from signet_sdk._jws import base64url, bearer_token, read_jws
from signet_sdk.access import NOT_UNDERSTOOD, PUBLIC, UNDECLARED, UNKNOWN, Access, read_access
from signet_sdk.claims import read_claims
from signet_sdk.testing import TestIssuer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.lists(st.text(min_size=1, max_size=8), max_size=3)
ISSUER = TestIssuer()
VERIFIER = ISSUER.verifier("stock", follows=False)
GOOD = ISSUER.token(audiences=["stock"])


@given(st.binary(max_size=64))
def test_base64url_is_read_in_one_way_alone(encoded: bytes) -> None:
    text = base64.urlsafe_b64encode(encoded).rstrip(b"=").decode()
    assert base64url(text) == encoded
    for other in (text + "=", text + "+", text + "/", text + "\n", " " + text):
        with pytest.raises(ValueError, match=r"base64url|cut short"):
            base64url(other)


@given(st.text(alphabet="ABCDabcd01-_=+/.\n", max_size=40))
def test_whatever_is_read_as_base64url_is_what_it_is_written_as(text: str) -> None:
    try:
        decoded = base64url(text)
    except ValueError:
        return
    assert base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() == text


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda it: it.decode("latin-1")))
def test_any_text_is_a_token_or_a_refusal(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        read_jws(text, takes_plain_jwt=True)
    assert caught.value.reason == "TOKEN_INVALID"


@given(JSON, JSON)
def test_any_header_and_claims_are_refused_without_a_signature(header: Any, claims: Any) -> None:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    with pytest.raises(Refusal) as caught:
        VERIFIER.verify(".".join([*parts, "AA"]))
    assert caught.value.reason == "TOKEN_INVALID"


@given(st.binary(max_size=100) | JSON.map(lambda it: json.dumps(it).encode()))
def test_any_payload_is_claims_or_a_refusal(payload: bytes) -> None:
    with pytest.raises(Refusal):
        read_claims(payload, ISSUER.issuer)


@given(st.sampled_from(["sub", "aud", "exp", "iat", "jti", "client_id", "scope", "sid", "nbf", "amr", "auth_time", "acr", "roles", "groups",
                        "roles_omitted", "attributes"]), JSON)  # fmt: skip
def test_a_claim_of_any_type_is_understood_or_refused(name: str, value: Any) -> None:
    token = ISSUER.token(audiences=["stock"], claims={name: value} if value is not None else {"exp": "never"})
    try:
        caller = VERIFIER.verify(token)
    except Refusal as refusal:
        assert refusal.reason in ("TOKEN_INVALID", "TOKEN_EXPIRED")
    else:
        assert "stock" in caller.audiences


@given(st.integers(0, len(GOOD) - 1), st.characters(max_codepoint=127))
def test_a_token_that_is_changed_anywhere_is_refused(at: int, character: str) -> None:
    changed = GOOD[:at] + character + GOOD[at + 1 :]
    if changed == GOOD:
        return
    with pytest.raises(Refusal) as caught:
        VERIFIER.verify(changed, timeout=0)
    # The name of its key may be another one, which is not known and cannot be asked for while the clock stands still.
    assert caught.value.reason in ("TOKEN_INVALID", "UNAVAILABLE")


@given(st.lists(st.text(max_size=30) | st.binary(max_size=30), max_size=3))
def test_authorization_is_one_bearer_token_or_refused(values: list[str | bytes]) -> None:
    try:
        token = bearer_token(values)
    except Refusal as refusal:
        assert refusal.reason == ("TOKEN_INVALID" if values else "TOKEN_MISSING")
    else:
        assert len(values) == 1
        assert token and token.isascii()


# ===== policies =====


def encoded(required: list[str], any_of: list[str], roles: list[str], callers: Any, audience: str) -> bytes:
    rule = access_pb2.Access.Authenticated(
        required_scopes=required,
        any_scopes=any_of,
        any_roles=roles,
        callers=callers,
        audience=audience,
    )
    return access_pb2.Access(authenticated=rule).SerializeToString()


@given(NAMES, NAMES, NAMES, st.integers(0, 2), st.text(max_size=8))
def test_a_rule_is_read_as_protobuf_writes_it(
    required: list[str], any_of: list[str], roles: list[str], callers: int, audience: str
) -> None:
    kinds: list[Any] = [None, "user", "client"]
    rule = Rule(tuple(required), tuple(any_of), tuple(roles), kinds[callers], audience or None)
    assert read_access(encoded(required, any_of, roles, callers, audience)) == Access("authenticated", rule)


@given(st.binary(max_size=40))
def test_whatever_opens_a_method_is_understood_by_protobuf_in_the_same_way(told: bytes) -> None:
    access = read_access(told)
    if access in (NOT_UNDERSTOOD, UNDECLARED):
        return
    parsed = access_pb2.Access.FromString(told)
    assert parsed.WhichOneof("rule") == access.kind
    if access.rule is not None:
        assert list(access.rule.required_scopes) == list(parsed.authenticated.required_scopes)
        assert list(access.rule.any_roles) == list(parsed.authenticated.any_roles)


@given(st.integers(6, 500), st.binary(max_size=8))
def test_a_field_to_come_closes_the_method_at_every_level(number: int, value: bytes) -> None:
    unknown = key(number) + bytes([len(value)]) + value
    for inner in (unknown, bytes([0x0A, len(unknown)]) + unknown, bytes([0x12, len(unknown)]) + unknown):
        assert read_access(inner) == NOT_UNDERSTOOD
        assert read_access(b"\x0a\x00" + inner) == NOT_UNDERSTOOD


def key(number: int) -> bytes:
    told = number << 3 | 2
    return bytes([told]) if told < 128 else bytes([told & 127 | 128, told >> 7])


def test_a_rule_for_everybody_and_none() -> None:
    assert read_access(access_pb2.Access(public=access_pb2.Access.Public()).SerializeToString()) == PUBLIC
    assert read_access(b"") == UNDECLARED
    assert read_access(b"\x0a\x00\x12\x00") == Access("authenticated", Rule()), "the last one of a oneof counts"


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_policy_or_none(told: bytes) -> None:
    with pytest.raises(PolicyError):
        Policy.from_descriptor_set(told)


@given(st.data())
def test_a_set_that_is_bent_opens_nothing_more(data: st.DataObject) -> None:
    file = descriptor_pb2.FileDescriptorProto()
    access_pb2.DESCRIPTOR.CopyToProto(file)
    method = file.service.add(name="S").method.add(name="M", input_type=".identity.v1.Access", output_type=".identity.v1.Access")
    method.options.Extensions[access_pb2.access].authenticated.required_scopes.append("a-scope")
    whole = descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()
    assert Policy.from_descriptor_set(whole).access("/identity.v1.S/M").rule == Rule(required_scopes=("a-scope",))
    cut = data.draw(st.integers(0, len(whole) - 1))
    try:
        policy = Policy.from_descriptor_set(whole[:cut])
    except PolicyError:
        return
    assert policy.access("/identity.v1.S/M").kind != "public"


def test_services_of_the_process_and_of_a_file_have_the_same_rules() -> None:
    from stock.v1 import stock_service_pb2

    policy = Policy.from_services("stock.v1.StockService", public_services=["grpc.health.v1.Health"])
    files = descriptor_pb2.FileDescriptorSet()
    for module in (access_pb2, stock_service_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    assert Policy.from_descriptor_set(files.SerializeToString()).methods() == policy.methods()
    assert policy.access("/stock.v1.StockService/ListItems") == PUBLIC
    assert policy.access("/grpc.health.v1.Health/Check") == PUBLIC
    for other in (
        "/grpc.health.v1.Health2/Check",
        "grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/a/b",
        "",
        "/",
        "/stock.v1.StockService/listItems",
    ):
        assert policy.access(other) == UNKNOWN
    with pytest.raises(PolicyError, match="import its generated code"):
        Policy.from_services("no.such.Service")
    with pytest.raises(PolicyError, match="do not define"):
        Policy.from_services(health_pb2.DESCRIPTOR.package + ".Health")


def test_no_handler_changes_what_another_call_sees() -> None:
    issuer = TestIssuer()
    verifier = issuer.verifier("stock")
    token = issuer.token(audiences=["stock"], claims={"attributes": {"teams": ["a", {"b": ["c"]}]}})
    attributes: Any = verifier.verify(token).attributes
    for part in (attributes, attributes["teams"], attributes["teams"][1], attributes["teams"][1]["b"]):
        with pytest.raises(TypeError):
            part[next(iter(part)) if isinstance(part, Mapping) else 0] = "another"
    assert verifier.verify(token).attributes == {"teams": ("a", {"b": ("c",)})}
    verifier.close()
