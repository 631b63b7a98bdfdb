"""Owns reading the conformance corpus, which all SDKs share, and running a case of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format

from identity.events.v1 import event_service_pb2 as events
from signet_sdk import Caller, Introspection, Policy, Refusal, Verifier
from signet_sdk._fetch import Fetched
from signet_sdk.clock import Clock
from signet_sdk.grants import PublicClient
from signet_sdk.hooks import Hooks
from signet_sdk.introspection import Introspected
from signet_sdk.testing import ManualClock, _TestRevocations

FOLDER = Path(os.environ.get("SIGNET_CONFORMANCE") or Path(__file__).parents[2] / "conformance")


@cache
def document(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


def named(file: str, part: str = "cases") -> list[Any]:
    """The cases of a file, as parameters of a test."""
    import pytest

    cases = document(file)[part]
    return [pytest.param(case, id=case.get("name", str(at))) for at, case in enumerate(cases)]


@cache
def policy(name: str, public_services: tuple[str, ...] = ()) -> Policy:
    return Policy.from_file(FOLDER / "policies" / f"{name}.binpb", public_services=public_services)


def message(told: dict[str, Any]) -> events.WatchResponse:
    return json_format.ParseDict(told, events.WatchResponse())


class Followed(_TestRevocations):
    """A stream of revocations that has told nothing yet."""

    def start(self, clock: Clock, hooks: Hooks, told: Any) -> None:
        from signet_sdk._revoked import Revoked

        self._clock, self._hooks, self._told = clock, hooks, told
        self.revoked = Revoked(clock)


class World:
    """A verifier as a case asks for it, its policy, its clock and what it is told."""

    def __init__(self, file: str, case: dict[str, Any], followed: bool, now: float) -> None:
        whole = document(file)
        # The keys are fetched a minute before, so that they may be asked for anew at once.
        self.clock = ManualClock(now - 60)
        self.revocations = Followed() if followed else None
        self.policy = policy(case.get("policy", "corpus"), tuple(case.get("public_services", ())))
        key_set = json.dumps(document("keys.json")[case.get("jwks", "main")]).encode()
        introspection = None
        if "introspection" in case:
            told = case["introspection"]
            answer = Introspected(bool(told["active"]), tuple(told.get("roles", ())))
            introspection = Introspection([], PublicClient("test"), ask=lambda _token: answer)
        self.verifier = Verifier(
            whole["issuer"],
            case.get("audience", whole["audience"]),
            leeway=case.get("leeway", 5),
            token_typ_jwt=case.get("token_typ_jwt", False),
            revocations=self.revocations,
            revocation_max_age=case.get("max_age", 30),
            when_stale=case.get("when_stale", "refuse"),
            stream_grace=case.get("grace", 30),
            introspection=introspection,
            clock=self.clock,
            random=lambda: 0.5,
            key_source=lambda: Fetched(key_set, None),
        )
        self.verifier.start()
        with self.verifier._keys.changed:
            while not self.verifier._keys.is_ready():
                self.verifier._keys.changed.wait(5)
        self.clock.advance_to(now)

    def tell(self, told: dict[str, Any]) -> None:
        assert self.revocations is not None
        self.revocations.hear(message(told))

    def close(self) -> None:
        self.verifier.close()


def outcome_of_caller(caller: Caller | None) -> dict[str, Any]:
    """A call that passed, in the words of the corpus."""
    if caller is None:
        return {"code": "OK"}
    told = {
        "kind": caller.kind,
        "id": caller.id,
        "client_id": caller.client_id,
        "session_id": caller.session_id,
        "audiences": list(caller.audiences),
        "scopes": list(caller.scopes),
        "roles": list(caller.roles),
        "groups": list(caller.groups),
        "amr": list(caller.amr),
        "auth_time": caller.auth_time,
        "acr": caller.acr,
        "attributes": thawed(caller.attributes),
    }
    return {"code": "OK", "caller": without_unset(told)}


def thawed(value: Any) -> Any:
    """`value` of a caller as JSON has it."""
    if isinstance(value, Mapping):
        return {name: thawed(member) for name, member in value.items()}
    return [thawed(member) for member in value] if isinstance(value, tuple) else value


def outcome_of_refusal(refusal: Refusal) -> dict[str, Any]:
    """A call that was refused, in the words of the corpus."""
    told = {
        "code": refusal.code().name,
        "reason": refusal.reason,
        "metadata": refusal.metadata,
        "retry_info": refusal.retry_after,
    }
    return {name: value for name, value in told.items() if value is not None}


def without_unset(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value not in (None, [], {})}


def expected(case: dict[str, Any]) -> dict[str, Any]:
    told = dict(case["expect"])
    if "caller" in told:
        told["caller"] = without_unset(told["caller"])
    return told


class Details(grpc.HandlerCallDetails):
    """The details of a call, as a server hands them to its interceptors."""

    def __init__(self, method: str, authorization: list[str]) -> None:
        self.method = method
        self.invocation_metadata = tuple(("authorization", value) for value in authorization)
