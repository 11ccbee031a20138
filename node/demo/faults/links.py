"""Links that can be cut or slowed: proxies in this process, before every hospital and between every hospital and the chain.

A connection is the victim's if it leads to the victim, or if the victim's process opened it: who that is, the kernel knows by
the connection's source port. What is cut is not refused and not closed: bytes stop passing, as on a network that lost them,
and pass again when the link is mended.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import psutil

from node.errors import BadEnvironment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

HOST: Final = "127.0.0.1"
PIECE_BYTES: Final = 64 * 1024
SLOW_SECONDS: Final = 0.3
SLOW_BYTES_A_SECOND: Final = 256 * 1024
LOOK_SECONDS: Final = 0.05
START_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Weather:
    """What is wrong with which connections now."""

    kind: str = ""
    """`cut`, `slow`, `cut-chain`, or empty: nothing."""
    towards: int = 0
    """The listening port of the proxy whose every connection is affected; 0: none."""
    sources: Callable[[int], bool] = lambda _port: False
    """Whether the victim's process opened the connection with this source port."""


class Links:
    """Proxies on a thread of their own; `with Links({listen: target}) as links`.

    Args:
        routes: Listening port to target port, both on the loopback address.
    """

    def __init__(self, routes: Mapping[int, int]) -> None:
        self._routes = dict(routes)
        self._weather = Weather()
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._problem: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="links", daemon=True)
        self._stop: asyncio.Event | None = None

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            BadEnvironment: A port is in use.
        """
        self._thread.start()
        if not self._up.wait(START_SECONDS) or self._problem is not None:
            raise BadEnvironment(f"the proxies of --fault cannot listen: {self._problem or 'no answer'}; run it again")
        return self

    def __exit__(self, *_error: object) -> None:
        """Close every connection."""
        if self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    def break_off(self, kind: str, towards: int, pid: int) -> None:
        """Cut or slow a hospital's links from now on.

        Args:
            kind: `cut` or `slow`: to and from the other hospitals; `cut-chain`: to the chain.
            towards: The port of the proxy before the hospital, or of its own before the chain.
            pid: Its process.
        """
        sources = _OpenedBy(pid) if kind != "cut-chain" else Weather.sources
        self._weather = Weather(kind, towards, sources)

    def mend(self) -> None:
        """Everything passes again."""
        self._weather = Weather()

    # ---- on the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        servers = []
        try:
            for listen, target in self._routes.items():
                servers.append(await asyncio.start_server(self._accept(listen, target), HOST, listen))
        except OSError as error:
            self._problem = error
        self._up.set()
        if self._problem is None:
            await self._stop.wait()
        for server in servers:
            server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def _accept(
        self, listen: int, target: int
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            source = writer.get_extra_info("peername")[1]
            try:
                there, back = await asyncio.open_connection(HOST, target)
            except OSError:
                writer.close()
                return
            await asyncio.gather(self._pump(reader, back, listen, source), self._pump(there, writer, listen, source))

        return accepted

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listen: int, source: int) -> None:
        """Pass one direction on until it ends; either end's end ends both."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                await self._passage(len(piece), listen, source)
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def _passage(self, size: int, listen: int, source: int) -> None:
        """Takes as long as the weather says."""
        delayed = False
        while (weather := self._weather).kind and (weather.towards == listen or weather.sources(source)):
            if weather.kind == "slow":
                if not delayed:
                    await asyncio.sleep(SLOW_SECONDS + size / SLOW_BYTES_A_SECOND)
                return
            delayed = True
            await asyncio.sleep(LOOK_SECONDS)


class _OpenedBy:
    """Whether a process opened the connection with a source port; each port is looked up once."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: dict[int, bool] = {}

    def __call__(self, port: int) -> bool:
        if port not in self._known:
            try:
                own = {c.laddr.port for c in psutil.Process(self._pid).net_connections("tcp4") if c.laddr}
            except psutil.Error:
                own = set()
            self._known[port] = port in own
        return self._known[port]
