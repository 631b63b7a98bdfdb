"""Owns running all of the conformance corpus, by both guards."""

from __future__ import annotations

import asyncio
import base64
import threading
from typing import Any

import grpc
import pytest

import signet_sdk
import signet_sdk.aio
from signet_sdk import Policy, PolicyError, caller_or_none
from signet_sdk._addresses import may_attach
from signet_sdk._retry import is_worth_a_retry
from signet_sdk.jwk import KeySetError, read_key_set
from signet_sdk.token_source import renew_after

from .corpus import (
    FOLDER,
    Details,
    World,
    document,
    expected,
    named,
    outcome_of_caller,
    outcome_of_refusal,
)
from .fakes import AbortedError, FakeAioContext, FakeContext


def world_of_call(case: dict[str, Any]) -> World:
    """The world in which a call comes, after all that was told before."""
    whole, told = document("server.json"), case.get("told", [])
    now = case.get("now", whole["now"])
    world = World("server.json", case, case.get("followed", "told" in case), min([now, *(event["at"] for event in told)]))
    for event in told:
        world.clock.advance_to(event["at"])
        world.tell(event["message"])
    world.clock.advance_to(now)
    return world


@pytest.mark.parametrize("case", named("server.json"))
def test_a_server_with_threads_answers_each_call(case: dict[str, Any]) -> None:
    world = world_of_call(case)
    try:
        for _ in range(2):  # The second time the token has been seen before.
            seen: list[Any] = []

            def handle(request: Any, context: Any, seen: list[Any] = seen) -> str:
                seen.append(caller_or_none())
                return "answer"

            handler: Any = grpc.unary_unary_rpc_method_handler(handle)
            guard = signet_sdk.guard(world.verifier, world.policy)
            guarded: Any = guard.intercept_service(returning(handler), Details(case["method"], case["authorization"]))
            context = FakeContext()
            assert call(guarded, context) == (["answer"] if context.refusal is None else None)
            assert outcome(seen, context) == expected(case), case["why"]
    finally:
        world.close()


def returning(handler: Any) -> Any:
    return lambda _details: handler


def call(handler: Any, context: Any) -> list[Any] | None:
    try:
        if handler.response_streaming:
            return list(handler.stream_stream(iter(()), context))
        # One that waits reads its message itself.
        return [handler.stream_unary(iter([b""]), context) if handler.request_streaming else handler.unary_unary(b"", context)]
    except AbortedError:
        return None


def outcome(seen: list[Any], context: FakeContext) -> dict[str, Any]:
    if context.refusal is not None:
        assert not seen, "a refused call reaches no handler"
        return outcome_of_refusal(context.refusal)
    return outcome_of_caller(seen[0])


@pytest.mark.parametrize("case", named("server.json"))
async def test_an_asynchronous_server_answers_each_call(case: dict[str, Any]) -> None:
    world = world_of_call(case)
    try:
        seen: list[Any] = []

        async def handle(request: Any, context: Any) -> str:
            seen.append(caller_or_none())
            return "answer"

        handler: Any = grpc.unary_unary_rpc_method_handler(handle)

        async def continuation(_: Any) -> Any:
            return handler

        guard: Any = signet_sdk.aio.guard(world.verifier, world.policy)
        guarded = await guard.intercept_service(continuation, Details(case["method"], case["authorization"]))
        context = FakeAioContext()
        try:
            if guarded.response_streaming:
                await guarded.stream_stream(None, context)
            else:
                assert await guarded.unary_unary(b"", context) == "answer"
        except AbortedError:
            pass
        assert outcome(seen, context) == expected(case), case["why"]
    finally:
        world.close()


@pytest.mark.parametrize("case", named("server.json", "refused_policies") if "refused_policies" in document("server.json") else [])
def test_no_policy_is_made_of_a_set_that_is_none(case: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        Policy.from_file(FOLDER / "policies" / f"{case['policy']}.binpb")


@pytest.mark.parametrize("case", named("jwks.json"))
def test_the_keys_of_a_set_are_those_that_verify(case: dict[str, Any]) -> None:
    try:
        found: Any = list(read_key_set(case["document"].encode("utf-8", "surrogatepass")))
    except KeySetError:
        found = "refused"
    assert found == case["expect"], case["why"]


# ===== streams =====


def seconds_of(case: dict[str, Any]) -> tuple[World, list[dict[str, Any]]]:
    """The world before the stream is opened, and the events that come after."""
    events = case["events"]
    followed = case.get("followed", bool(events))
    world = World("streams.json", case, followed, min([case["opened"], *(event["at"] for event in events)]))
    later = []
    for event in events:
        if event["at"] > case["opened"]:
            later.append(event)
        elif "told" in event:
            world.clock.advance_to(event["at"])
            world.tell(event["told"])
    world.clock.advance_to(case["opened"])
    return world, later


def advance_to(world: World, second: float, later: list[dict[str, Any]]) -> None:
    world.clock.advance_to(second)
    while later and later[0]["at"] <= second:
        event = later.pop(0)
        if "told" in event:
            world.tell(event["told"])
    world.verifier.streams.sweep()


def check_end(case: dict[str, Any], context: FakeContext) -> None:
    expect = case["expect"]
    if expect.get("open"):
        assert context.refusal is None, case["why"]
        return
    assert context.refusal is not None, case["why"]
    assert (context.refusal.code().name, context.refusal.reason) == (expect["code"], expect["reason"]), case["why"]
    assert context.refusal.metadata["method"] == case["method"]
    assert context.refusal.metadata["audience"]


@pytest.mark.parametrize("case", named("streams.json"))
def test_a_stream_of_a_server_with_threads_ends_in_time(case: dict[str, Any]) -> None:
    world, later = seconds_of(case)
    context, begun = FakeContext(), threading.Event()

    def idle(request: Any, handler_context: FakeContext) -> Any:
        begun.set()
        assert handler_context.ended.wait(30)
        yield from ()

    handler: Any = grpc.unary_stream_rpc_method_handler(idle)
    guard = signet_sdk.guard(world.verifier, world.policy)
    guarded: Any = guard.intercept_service(lambda _: handler, Details(case["method"], case["authorization"]))
    assert guarded.unary_stream is not None, "every stream passes when it is opened"
    server = threading.Thread(target=lambda: call_stream(guarded, context))
    server.start()
    try:
        assert begun.wait(5)
        ends_at = case["expect"].get("ends_at", case["until"] + 1)
        for second in range(case["opened"], min(ends_at, case["until"] + 1)):
            advance_to(world, second, later)
            assert not context.ended.is_set(), f"open at {second}: {case['why']}"
        if "ends_at" in case["expect"]:
            advance_to(world, ends_at, later)
            assert context.ended.wait(5), case["why"]
        check_end(case, context)
    finally:
        context.ended.set()
        server.join(5)
        world.close()


def call_stream(handler: Any, context: FakeContext) -> None:
    try:
        list(handler.unary_stream(b"", context))
    except AbortedError:
        return


@pytest.mark.parametrize("case", named("streams.json"))
async def test_a_stream_of_an_asynchronous_server_ends_in_time(case: dict[str, Any]) -> None:
    world, later = seconds_of(case)
    context, begun, cancelled = FakeAioContext(), asyncio.Event(), asyncio.Event()

    async def idle(request: Any, context: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        yield b""

    handler: Any = grpc.unary_stream_rpc_method_handler(idle)

    async def continuation(_: Any) -> Any:
        return handler

    guard: Any = signet_sdk.aio.guard(world.verifier, world.policy)
    guarded = await guard.intercept_service(continuation, Details(case["method"], case["authorization"]))
    assert (guarded is handler) == (world.policy.access(case["method"]).kind == "public"), "what is public is not touched"
    answers = guarded.unary_stream(b"", context)
    server = asyncio.ensure_future(answers.__anext__() if guarded is handler else answers)
    try:
        await asyncio.wait_for(begun.wait(), 5)
        ends_at = case["expect"].get("ends_at", case["until"] + 1)
        for second in range(case["opened"], min(ends_at, case["until"] + 1)):
            advance_to(world, second, later)
            assert not context.ended.is_set(), f"open at {second}: {case['why']}"
        await asyncio.sleep(0)
        assert not server.done()
        if "ends_at" in case["expect"]:
            advance_to(world, ends_at, later)
            with pytest.raises(AbortedError):
                await asyncio.wait_for(server, 5)
            assert cancelled.is_set(), "the handler is cancelled"
        check_end(case, context)
    finally:
        server.cancel()
        await asyncio.wait([server])
        world.close()


# ===== the client half =====


@pytest.mark.parametrize("case", named("clients.json", "retry"))
def test_a_call_is_sent_again_where_another_token_will_do(case: dict[str, Any]) -> None:
    told, refusal = case["call"], case["refusal"]
    again = is_worth_a_retry(
        grpc.StatusCode[refusal["code"]],
        base64.b64decode(refusal["details"]),
        audience=told["audience"],
        method=told["method"],
        is_unary=told["kind"] == "unary",
        messages_received=told["messages_received"],
        attempt=case["attempt"],
    )
    assert again == case["expect"]["retry"]


@pytest.mark.parametrize("case", named("clients.json", "renew"))
def test_a_token_is_renewed_in_time(case: dict[str, Any]) -> None:
    assert renew_after(case["lifetime"], case["random"]) == pytest.approx(case["renew_at"], abs=0.001)


@pytest.mark.parametrize("case", named("clients.json", "attach"))
def test_a_token_goes_only_where_it_is_for(case: dict[str, Any]) -> None:
    attached = may_attach(
        [case["target"]],
        case["authority"],
        secure=case["secure"],
        peer_is_loopback=case["peer_is_loopback"],
        allow_plaintext="the sidecar encrypts" if case["allow_plaintext"] else None,
    )
    assert attached == (case["expect"] == "attach")
