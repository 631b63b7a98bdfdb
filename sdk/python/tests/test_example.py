"""Owns the tests of the example's server while Signet is away: it is not ready, refuses nobody for good, and ends in time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from stock.v1 import stock_service_pb2 as stock
from stock.v1 import stock_service_pb2_grpc as stock_grpc

from signet_sdk import refusal_of
from signet_sdk.testing import TestIssuer

EXAMPLE = Path(__file__).parents[1] / "example"


@pytest.mark.parametrize("follows", [False, True])
def test_without_signet_it_is_not_ready_and_ends_in_time(follows: bool) -> None:
    settings = {"STOCK_ADDR": "127.0.0.1:0", "SIGNET_ISSUER": "http://127.0.0.1:1", "SIGNET_GRPC_ADDR": "127.0.0.1:1"}
    if follows:
        settings |= {"SIGNET_CLIENT_ID": "events", "SIGNET_CLIENT_SECRET": "s"}
    command = [sys.executable, str(EXAMPLE / "server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | settings) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            with grpc.insecure_channel(address) as channel:
                health: Any = health_pb2_grpc.HealthStub(channel)
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=20, wait_for_ready=True)
                assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
                stub = stock_grpc.StockServiceStub(channel)
                assert stub.ListItems(stock.ListItemsRequest(), timeout=20).names == ["bolt", "crane"]
                shown = TestIssuer("http://127.0.0.1:1").token(audiences=["stock"])
                with pytest.raises(grpc.RpcError) as caught:
                    stub.GetItem(stock.GetItemRequest(name="bolt"), metadata=(("authorization", f"Bearer {shown}"),), timeout=20)
                refusal = refusal_of(caught.value)
                assert refusal is not None and refusal.reason == "UNAVAILABLE"
        finally:
            began = time.monotonic()
            process.terminate()
            assert process.wait(20) == 0
        assert time.monotonic() - began < 2
