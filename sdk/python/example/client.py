"""Owns calls with tokens of Signet: `python example/client.py [--calls N] [--interval-ms M] [--take] [--watch]`.

Settings are in the environment: SIGNET_GRPC_ADDR (127.0.0.1:50051; several with commas), SIGNET_CLIENT_ID, SIGNET_CLIENT_SECRET, STOCK_ADDR
(127.0.0.1:50052). Each answer is a line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
from typing import Any

import grpc.aio
from stock.v1 import stock_service_pb2 as stock
from stock.v1 import stock_service_pb2_grpc as stock_grpc

import signet_sdk.aio
from signet_sdk import ClientCredentials, Secret, TokenSource, refusal_of

AUDIENCE = "stock"
ITEM = "bolt"
TIMEOUT = 10.0


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="Calls the stock service.")
    parser.add_argument("--calls", type=int, default=1, help="how many calls")
    parser.add_argument("--interval-ms", type=float, default=0, help="milliseconds between the starts of two")
    parser.add_argument("--take", action="store_true", help="take one each time, and do not only look")
    parser.add_argument("--watch", action="store_true", help="watch the count until SIGTERM")
    return parser.parse_args()


def say(**told: Any) -> None:
    """Prints one line of JSON."""
    print(json.dumps(told), flush=True)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Signet's reason of a failed call; the name of the code, if it has none."""
    refusal = refusal_of(error)
    return refusal.reason if refusal is not None else error.code().name


async def call(stub: Any, is_take: bool) -> None:
    """One call."""
    try:
        if is_take:
            answer = await stub.TakeItem(stock.TakeItemRequest(name=ITEM), timeout=TIMEOUT)
        else:
            answer = await stub.GetItem(stock.GetItemRequest(name=ITEM), timeout=TIMEOUT)
    except grpc.aio.AioRpcError as error:
        say(code=error.code().name, reason=reason_of(error))
    else:
        say(code="OK", count=answer.count)


async def watch(stub: Any) -> None:
    """Prints each count. A stream ends with its token: then it is opened anew, which gets another one."""
    while True:
        try:
            async for answer in stub.WatchItem(stock.WatchItemRequest(name=ITEM)):
                say(count=answer.count)
            say(ended="OK")
        except grpc.aio.AioRpcError as error:
            say(ended=reason_of(error))
        await asyncio.sleep(random.uniform(0.1, 1.0))  # noqa: S311 - no secret


async def main() -> None:
    """Calls, and watches if it is asked to."""
    asked = arguments()
    source = TokenSource(
        os.environ.get("SIGNET_GRPC_ADDR", "127.0.0.1:50051").split(","),
        ClientCredentials(Secret(os.environ["SIGNET_CLIENT_ID"], os.environ["SIGNET_CLIENT_SECRET"])),
        audience=AUDIENCE,
    )
    async with signet_sdk.aio.channel(os.environ.get("STOCK_ADDR", "127.0.0.1:50052"), source) as channel:
        stub = stock_grpc.StockServiceStub(channel)
        if asked.watch:
            watching = asyncio.ensure_future(watch(stub))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, watching.cancel)
            await asyncio.wait([watching])
            return
        loop = asyncio.get_running_loop()
        began, calls = loop.time(), []
        for at in range(asked.calls):
            await asyncio.sleep(began + at * asked.interval_ms / 1000 - loop.time())
            if asked.interval_ms > 0:
                calls.append(asyncio.ensure_future(call(stub, asked.take)))
            else:
                await call(stub, asked.take)
        await asyncio.gather(*calls)


if __name__ == "__main__":
    asyncio.run(main())
