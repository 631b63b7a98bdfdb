"""Owns what both guards share: what they read of a call, and how a handler is put behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc


def authorization_of(details: grpc.HandlerCallDetails) -> list[str | bytes]:
    """The values of the field `authorization` of a call."""
    return [value for key, value in details.invocation_metadata or () if key == "authorization"]


def is_unary(handler: Any) -> bool:
    """Whether a handler takes one message and answers one."""
    return not handler.request_streaming and not handler.response_streaming


def behavior_of(handler: Any) -> Callable[..., Any]:
    """The function that answers a call."""
    return (  # type: ignore[no-any-return]
        handler.stream_stream
        if handler.request_streaming and handler.response_streaming
        else handler.stream_unary
        if handler.request_streaming
        else handler.unary_stream
        if handler.response_streaming
        else handler.unary_unary
    )


def with_behavior(handler: Any, behavior: Callable[..., Any], deserializer: Any) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler of the same kind as `handler` that calls `behavior`, with requests that `deserializer` has read (`None`: as bytes)."""
    make: Any
    if handler.request_streaming and handler.response_streaming:
        make = grpc.stream_stream_rpc_method_handler
    elif handler.request_streaming:
        make = grpc.stream_unary_rpc_method_handler
    elif handler.response_streaming:
        make = grpc.unary_stream_rpc_method_handler
    else:
        make = grpc.unary_unary_rpc_method_handler
    made: grpc.RpcMethodHandler[Any, Any] = make(behavior, deserializer, handler.response_serializer)
    return made
