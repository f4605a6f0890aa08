"""A TCP proxy between a client and a server, to do to a connection what networks do.

It knows nothing of MongoDB. Its events run in a thread of their own; every method may be called from any.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

HOST = "127.0.0.1"
CALL_SECONDS = 10.0
READ_BYTES = 65_536


class Proxy:
    """Listens on a port of its own and forwards to ``port``, until told otherwise."""

    def __init__(self, port: int) -> None:
        self.port, self.forwarded, self.cuts = 0, 0, 0
        self._target = port
        self._delay, self._left = 0.0, -1
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()

    def uri(self, uri: str) -> str:
        """The connection string with this proxy's port for the server's."""
        return uri.replace(f":{self._target}/", f":{self.port}/")

    def cut(self) -> None:
        """Reset all connections; new ones are taken."""
        self._soon(self._cut)

    def cut_after(self, size: int) -> None:
        """Reset all connections once ``size`` more bytes have passed, wherever in a message that is."""
        self._left = size

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Reset all connections, and refuse new ones until the end of the block."""
        self._call(self._refuse())
        try:
            yield
        finally:
            self._call(self._listen())

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Take connections and bytes but forward none, and say nothing, until the end of the block."""
        self._soon(self._flowing.clear)
        try:
            yield
        finally:
            self._soon(self._flowing.set)

    @contextmanager
    def delayed(self, seconds: float) -> Iterator[None]:
        """Keep whatever arrives, from either side, for so long, until the end of the block."""
        self._delay = seconds
        try:
            yield
        finally:
            self._delay = 0.0

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        assert self._server is not None
        self._server.close()
        self._cut()
        await asyncio.sleep(0)

    async def _close(self) -> None:
        await self._refuse()
        pumps = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    def _cut(self) -> None:
        self.cuts += 1
        for writer in self._open:
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            # The server may be away: then the client's connection ends as if it had been reset.
            with suppress(OSError):
                there = await asyncio.open_connection(HOST, self._target)
                self._open.add(there[1])
                await asyncio.wait(
                    [
                        asyncio.create_task(self._pump(reader, there[1])),
                        asyncio.create_task(self._pump(there[0], writer)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                self._open.discard(there[1])
                _reset(there[1])
        finally:
            self._open.discard(writer)
            _reset(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(READ_BYTES):
                await self._flowing.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                writer.write(self._allowed(data))
                await writer.drain()

    def _allowed(self, data: bytes) -> bytes:
        """Count what passes; once the last byte allowed is here, the cut comes with it."""
        if self._left >= 0:
            data = data[: self._left]
            self._left -= len(data)
            if not self._left:
                self._left = -1
                self._loop.call_soon(self._cut)
        self.forwarded += len(data)
        return data

    def _soon(self, work: Callable[[], None]) -> None:
        async def called() -> None:
            work()

        self._call(called())

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)


def _reset(writer: asyncio.StreamWriter) -> None:
    # To linger for zero seconds is what makes the kernel send RST; a plain close would be a polite FIN.
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
