"""The page's WebSocket: messages in both directions, with one browser window at a time."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from aot_jax.browser.guard import MALFORMED

HELD = "Another browser window has this video open. Close it there, then reload this page."


class Connection:
    """The connection to the page.

    Args:
        act: called with each message from the page.
    """

    def __init__(self, act: Callable[[dict[str, Any]], None]) -> None:
        self._act = act
        self._socket: WebSocket | None = None
        self._client = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def say(self, message: dict[str, Any]) -> None:
        """Queue a message for the page; may be called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._waiting.put_nowait, message)

    async def talk(self, socket: WebSocket) -> None:
        """Exchange messages with a window until it closes; a second window is refused."""
        await socket.accept()
        client = socket.query_params.get("client", "")
        if self._socket is not None and client != self._client:
            await socket.close(code=4409, reason=HELD)
            return
        if self._socket is not None:  # the same window reconnects
            with contextlib.suppress(RuntimeError):  # closed already
                await self._socket.close(code=1001)
        self._socket, self._client, self._loop = socket, client, asyncio.get_running_loop()
        self._waiting = asyncio.Queue()
        sender = asyncio.create_task(self._send(socket))
        try:
            while True:
                self._act(json.loads(await socket.receive_text()))
        except MALFORMED:  # no text, or no JSON
            await socket.close(code=1003)
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            sender.cancel()
            if self._socket is socket:
                self._socket = None

    async def _send(self, socket: WebSocket) -> None:
        waiting = self._waiting
        while True:
            await socket.send_text(json.dumps(await waiting.get()))
