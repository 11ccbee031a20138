"""Being told of new blocks over a WebSocket, so that nobody has to ask ten times a second.

Only a bell: what a block holds is read by the cursor over HTTP, which also finds what was missed while the line was down.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from web3 import AsyncWeb3, WebSocketProvider

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("medweave.chain")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
SILENCE_SECONDS = 60.0
"""A line that says nothing for so long is tried with a question: a dead peer is not always noticed otherwise."""
MAX_MESSAGE_BYTES = 1_000_000


class HeadWatcher:
    """Calls back for every new block, and once after every time the line was down; connects again for ever.

    Attributes:
        connected: Whether blocks are announced now; while not, whoever waits must ask by itself.
    """

    def __init__(self, url: str, told: Callable[[], None]) -> None:
        """Connects to nothing yet.

        Args:
            url: A ws or wss JSON-RPC endpoint.
            told: Called in the event loop.
        """
        self.connected = False
        self._url = url
        self._told = told

    async def run(self) -> None:
        """Listens until cancelled."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001  (two libraries raise a dozen kinds while a server dies or talks nonsense)
                if self.connected:
                    pause = FIRST_PAUSE
                log.info("%s announces no blocks (%s): asking for them meanwhile", self._url, type(error).__name__)
            finally:
                self.connected = False
            self._told()
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _listen(self) -> None:
        """One connection's life; ends with an error."""
        provider = WebSocketProvider(
            self._url, max_connection_retries=1, websocket_kwargs={"max_size": MAX_MESSAGE_BYTES}
        )
        async with AsyncWeb3(provider) as w3:
            await w3.eth.subscribe("newHeads")
            self.connected = True
            self._told()
            messages = w3.socket.process_subscriptions()
            while True:
                waiting = asyncio.ensure_future(anext(messages))
                try:
                    while not (await asyncio.wait({waiting}, timeout=SILENCE_SECONDS))[0]:
                        await asyncio.wait_for(w3.eth.block_number, SILENCE_SECONDS)
                    waiting.result()
                finally:
                    waiting.cancel()
                self._told()
