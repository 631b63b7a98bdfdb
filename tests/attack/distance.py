"""Owns the distance to the database: a proxy that hands everything on, a little later."""

import asyncio
import multiprocessing
import os
from multiprocessing.connection import Connection

from loopback import Address

_START = 10.0


class Distance:
    """Listens on a free port of 127.0.0.1, in a process of its own, until `close`."""

    def __init__(self, to: Address, round_trip_ms: float) -> None:
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(to, round_trip_ms / 2_000, there), daemon=True)
        self._process.start()
        if not here.poll(_START):
            self.close()
            raise RuntimeError("the proxy before the database did not start")
        self.address = Address("127.0.0.1", here.recv())

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def _serve(to: Address, one_way: float, started: Connection) -> None:
    # It must not become the bottleneck.
    try:
        os.nice(-5)
    except PermissionError:
        pass
    asyncio.run(_listen(to, one_way, started))


async def _listen(to: Address, one_way: float, started: Connection) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(to.host, to.port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_hand_on(reader, far_writer, one_way), _hand_on(far_reader, writer, one_way))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    started.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one_way: float) -> None:
    loop = asyncio.get_running_loop()
    try:
        while data := await reader.read(65_536):
            loop.call_later(one_way, writer.write, data)
    except OSError:
        pass
    loop.call_later(one_way, writer.close)
