"""Owns serving `stock.v1.StockService`, protected by Signet's tokens: `python example/server.py`.

Settings are in the environment: SIGNET_GRPC_ADDR (127.0.0.1:50051; several with commas), SIGNET_ISSUER (http://127.0.0.1:8080), STOCK_ADDR
(127.0.0.1:50052), and optionally SIGNET_CLIENT_ID with SIGNET_CLIENT_SECRET (then it follows what was revoked), STOCK_REVOCATION_MAX_AGE
and STOCK_STREAM_GRACE in seconds.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from stock.v1 import stock_service_pb2 as stock
from stock.v1 import stock_service_pb2_grpc as stock_grpc

import signet_sdk.aio
from signet_sdk import Policy, Revocations, Secret, Verifier, current_caller

AUDIENCE = "stock"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
MOST = 1_000_000
SERVICES = [stock.DESCRIPTOR.services_by_name["StockService"].full_name]


class StockService(stock_grpc.StockServiceServicer):
    """What is in stock. Who may call which method stands in the proto, and is checked before any of these runs."""

    def __init__(self) -> None:
        self._counts = {"bolt": 1_000, "crane": 2}
        self._changed = asyncio.Condition()

    async def ListItems(self, request: stock.ListItemsRequest, context: Context) -> stock.ListItemsResponse:  # noqa: N802
        """Which items there are."""
        return stock.ListItemsResponse(names=sorted(self._counts))

    async def GetItem(self, request: stock.GetItemRequest, context: Context) -> stock.GetItemResponse:  # noqa: N802
        """How many there are of an item."""
        return stock.GetItemResponse(count=await self._count(request.name, context), caller_id=current_caller().id)

    async def TakeItem(self, request: stock.TakeItemRequest, context: Context) -> stock.TakeItemResponse:  # noqa: N802
        """Takes one of an item."""
        count = await self._count(request.name, context)
        if count == 0:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "there is none left")
        await self._set(request.name, count - 1)
        return stock.TakeItemResponse(count=count - 1, caller_id=current_caller().id)

    async def RestockItem(self, request: stock.RestockItemRequest, context: Context) -> stock.RestockItemResponse:  # noqa: N802
        """Adds some of an item."""
        count = await self._count(request.name, context) + request.count
        if count > MOST:
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, "that would be more than a million")
        await self._set(request.name, count)
        return stock.RestockItemResponse(count=count)

    async def WatchItem(  # noqa: N802
        self, request: stock.WatchItemRequest, context: Context
    ) -> AsyncIterator[stock.WatchItemResponse]:
        """How many there are: now, and after each change."""
        count = await self._count(request.name, context)
        while True:
            yield stock.WatchItemResponse(count=count)
            told = count
            async with self._changed:
                await self._changed.wait_for(lambda told=told: self._counts[request.name] != told)  # type: ignore[misc]
                count = self._counts[request.name]

    async def _count(self, name: str, context: Context) -> int:
        if name not in self._counts:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such item")
        return self._counts[name]

    async def _set(self, name: str, count: int) -> None:
        async with self._changed:
            self._counts[name] = count
            self._changed.notify_all()


def verifier() -> Verifier:
    """The verifier that the environment asks for."""
    client_id, secret = os.environ.get("SIGNET_CLIENT_ID"), os.environ.get("SIGNET_CLIENT_SECRET")
    addresses = os.environ.get("SIGNET_GRPC_ADDR", "127.0.0.1:50051").split(",")
    return Verifier(
        os.environ.get("SIGNET_ISSUER", "http://127.0.0.1:8080"),
        AUDIENCE,
        revocations=Revocations(addresses, Secret(client_id, secret)) if client_id and secret else None,
        revocation_max_age=float(os.environ.get("STOCK_REVOCATION_MAX_AGE", "30")),
        stream_grace=float(os.environ.get("STOCK_STREAM_GRACE", "30")),
    )


async def tell_health(verifier: Verifier, servicer: health.aio.HealthServicer) -> None:
    """Says that it serves once the verifier can tell who may call."""
    await servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    while not await verifier.ready_async(60):
        pass
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)


async def main() -> None:
    """Serves until SIGTERM."""
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    with verifier() as checks:
        policy = Policy.from_services(*SERVICES, public_services=[health.SERVICE_NAME])
        server = grpc.aio.server(interceptors=[signet_sdk.aio.guard(checks, policy)])
        stock_grpc.add_StockServiceServicer_to_server(StockService(), server)
        servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        host, _, port = os.environ.get("STOCK_ADDR", "127.0.0.1:50052").rpartition(":")
        print(f"{host}:{server.add_insecure_port(f'{host}:{port}')}", flush=True)
        await server.start()
        telling = asyncio.create_task(tell_health(checks, servicer))
        await over.wait()
        telling.cancel()
        await server.stop(grace=1)


if __name__ == "__main__":
    asyncio.run(main())
