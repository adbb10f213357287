"""Server of the page: a Starlette app, behind a token in the address.

`connection.py` exchanges messages with the page, `guard.py` refuses unauthorised requests. Frames are requested by
number; no path from the page reaches the file system.
"""

import asyncio
import gzip
import io
import json
import zlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from aot_jax.browser.connection import Connection
from aot_jax.browser.cutout import cut_out
from aot_jax.browser.files import FORMATS, export, load_files
from aot_jax.browser.guard import MALFORMED, Guard, parsing
from aot_jax.browser.session import Session, SessionError
from aot_jax.browser.tracking import Tracking
from aot_jax.errors import ReportedError

MOST_BYTES = 64 << 20  # largest body of a request, in bytes
FILES = files("aot_jax.browser").joinpath("page")
TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}  # media types by suffix
PAGE = [file.name for file in FILES.iterdir() if file.name.rpartition(".")[2] in TYPES]  # files that index.html loads
EXPECTED = (ReportedError, OSError)  # errors shown on the page


class Server:
    """Request handlers of the page.

    Args:
        session: state of the page.
        tracking: its tracker.
        start: frame to show first.
        network: description of the network, for the page's header.
        host: name or address that the server listens on.
        warn: called with each warning about an export.
    """

    def __init__(
        self,
        session: Session,
        tracking: Tracking,
        *,
        start: int,
        network: str,
        host: str,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.session, self.tracking = session, tracking
        self._start, self._network, self._warn = start, network, warn
        self._zip: Path | None = None
        self._connection = Connection(self._act)
        session.say = self._connection.say
        base = f"/{session.token}"
        routes = [
            Route("/", self._index),
            *(Route(f"{base}/{name}", self._asset) for name in PAGE),
            Route(f"{base}/frame/{{index:int}}", self._frame),
            Route(f"{base}/mask/{{index:int}}", self._mask, methods=["GET", "PUT"]),
            Route(f"{base}/cut/{{index:int}}", self._cut, methods=["POST"]),
            Route(f"{base}/load/{{index:int}}", self._load_files, methods=["POST"]),
            Route(f"{base}/export", self._write, methods=["POST"]),
            Route(f"{base}/zip", self._send_zip),
            WebSocketRoute(f"{base}/ws", self._connection.talk),
        ]
        app = Starlette(routes=routes, exception_handlers=dict.fromkeys(EXPECTED, _explain))
        self.app: ASGIApp = Guard(app, session.token, host)

    async def _index(self, request: Request) -> Response:
        text = FILES.joinpath("index.html").read_text("utf-8")
        return Response(text.replace("{base}", f"/{self.session.token}/"), media_type="text/html")

    async def _asset(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]  # one of PAGE, from which the routes are made
        return Response(FILES.joinpath(name).read_bytes(), media_type=TYPES[name.rpartition(".")[2]])

    async def _frame(self, request: Request) -> Response:
        index = self.session.check(request.path_params["index"])
        return Response(await run_in_threadpool(self.session.frames.jpeg, index), media_type="image/jpeg")

    async def _mask(self, request: Request) -> Response:
        index = self.session.check(request.path_params["index"])
        if request.method == "GET":
            return _packed(await run_in_threadpool(self.session.places, index))
        if self.tracking.running:
            raise SessionError("tracking is on: stop it before you draw")
        labels = self.session.to_ids(await self._places(request))
        await run_in_threadpool(self.session.give, index, labels)
        return Response(status_code=204)

    async def _cut(self, request: Request) -> Response:
        index, query = self.session.check(request.path_params["index"]), request.query_params
        with parsing():
            place, box = int(query["object"]), None
            if corners := query.get("box"):
                x0, y0, x1, y1 = (int(part) for part in corners.split(","))
                box = x0, y0, x1, y1
        places = await self._places(request)

        def work() -> np.ndarray:
            pixels = self.session.frames.pixels(index)
            return cut_out(pixels, places == place, (places != 0) & (places != place), box)

        return _packed((await run_in_threadpool(work)).astype(np.uint8))

    async def _load_files(self, request: Request) -> Response:
        index = self.session.check(request.path_params["index"])
        if self.tracking.running:
            raise SessionError("tracking is on: stop it before you load a mask")
        with parsing():
            about = [(str(name), int(size)) for name, size in json.loads(request.query_params["files"])]
        body = await self._body(request)
        if not about or any(size < 0 for _, size in about) or sum(size for _, size in about) != len(body):
            raise SessionError("the files did not arrive completely; drop them again")
        stream = io.BytesIO(body)
        given = [(name, stream.read(size)) for name, size in about]

        def work() -> list[str]:
            masks, notes = load_files(self.session.source, index, given)
            for frame, labels in masks.items():
                self.session.add_ids(np.unique(labels).tolist())
                self.session.give(self.session.check(frame), labels)
            return notes

        return JSONResponse({"notes": await run_in_threadpool(work)})

    async def _write(self, request: Request) -> Response:
        if self.tracking.running:
            raise SessionError("tracking is on: stop it, or wait until it is done")
        body = await self._body(request)
        with parsing():
            asked = json.loads(body)
            formats, zipped = [name for name in FORMATS if name in asked["formats"]], bool(asked["zip"])
        text, self._zip = await run_in_threadpool(export, self.session, formats, zipped, self._warn)
        file = {"file": "zip", "name": self._zip.name} if self._zip else {}
        return JSONResponse({"text": text, **file})

    async def _send_zip(self, request: Request) -> Response:
        if self._zip is None:
            raise SessionError("there is no zip yet; ask for one first")
        return FileResponse(self._zip, media_type="application/zip", filename=self._zip.name)

    async def _body(self, request: Request) -> bytes:
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > MOST_BYTES:
                raise SessionError(f"more than {MOST_BYTES >> 20} MiB at once; give smaller files")
            parts.append(part)
        return b"".join(parts)

    async def _places(self, request: Request) -> np.ndarray:
        """Return the mask (h, w) uint8 in a request's body, which is gzip-compressed.

        Raises:
            SessionError: it cannot be decompressed, or has another size than the frame.
        """
        height, width = self.session.source.size
        unpack = zlib.decompressobj(wbits=31)
        try:
            data = unpack.decompress(await self._body(request), height * width + 1)
        except zlib.error as error:
            raise SessionError(f"a mask that cannot be unpacked ({error})") from error
        if len(data) != height * width:
            raise SessionError(f"a mask of {len(data)} pixels does not fit frames of {width}x{height}; reload the page")
        return np.frombuffer(data, np.uint8).reshape(height, width)

    def _act(self, message: dict[str, Any]) -> None:
        """Do what a message of the page asks for."""
        self._attempt(self._do, message)

    def _attempt(self, work: Callable, *args: Any) -> None:
        """Call a function; an error is shown on the page."""
        try:
            work(*args)
        except (*EXPECTED, *MALFORMED) as error:
            self.session.notice(str(error))

    def _do(self, message: dict[str, Any]) -> None:
        session, tracking = self.session, self.tracking
        kind = message["type"]
        if kind == "hello":
            session.say(self.state())
        elif kind == "track":
            tracking.start(message["direction"], int(message["frame"]))
        elif kind == "stop":
            tracking.stop()
        elif kind == "depth":
            tracking.set_depth(int(message["depth"]))
        elif kind == "fps":
            tracking.set_rate(float(message["fps"]))
        elif kind == "rename":
            session.rename(int(message["id"]), str(message["name"]))
        elif tracking.running:
            raise SessionError("tracking is on: stop it before you change objects")
        elif kind == "add":
            session.add_ids([int(message["id"])])
        elif kind == "remove":
            asyncio.get_running_loop().run_in_executor(None, self._attempt, session.remove, int(message["id"]))

    def state(self) -> dict[str, Any]:
        """Return the message that initialises the page."""
        session, (height, width) = self.session, self.session.source.size
        return {
            "type": "state",
            "video": {
                "name": session.source.name, "width": width, "height": height,
                "count": len(session.status), "rate": float(session.source.rate),
            },
            "objects": session.objects,
            "status": list(session.status),
            "running": self.tracking.running,
            "depths": self.tracking.depths,
            "depth": self.tracking.depth,
            "fps": self.tracking.fps,
            "formats": FORMATS,
            "network": self._network,
            "folder": f"Results: {session.folder}",
            "start": self._start,
        }  # fmt: skip


async def _explain(request: Request, error: Exception) -> Response:
    """Return an expected error as text with status 400."""
    return PlainTextResponse(str(error), status_code=400)


def _packed(places: np.ndarray) -> Response:
    data = gzip.compress(np.ascontiguousarray(places).tobytes(), compresslevel=1)
    return Response(data, media_type="application/octet-stream", headers={"Content-Encoding": "gzip"})
