"""Run `track.py VIDEO --browser`: open the video, print the page's address, serve the page until Ctrl-C."""

import os
import re
import sys
import tempfile
import webbrowser
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aot_jax.browser.session import NOTHING, Session, SessionError
from aot_jax.errors import ReportedError
from aot_jax.io.files import atomic_write
from aot_jax.io.mask_sets import read_masks
from aot_jax.io.mask_sets.files import list_masks
from aot_jax.io.masks import write_mask
from aot_jax.io.names import is_hidden
from aot_jax.io.sources import Source, open_source
from aot_jax.network import depths_of, find_network
from aot_jax.runs import RunError, lock
from aot_jax.tracker.tracker import Tracker
from aot_jax.video.exports import EXPORTS
from aot_jax.video.options import PageOptions, TrackOptions
from aot_jax.video.prompts import read_prompts
from aot_jax.video.render import render
from aot_jax.video.results import keep_given
from aot_jax.video.run import run_settings

OVERLAY = "overlay video"
NAME, DEPTH = 60, 5  # most characters of a file's name, and most parts of a path, that are kept of what is dropped
NO_SERVER = "--browser needs starlette, uvicorn and websockets ({}): pip install -r requirements-browser.txt"


def open_page(options: TrackOptions, page: PageOptions, warn: Callable[[str], None] = lambda _: None) -> None:
    """Serve the page of a video until Ctrl-C.

    Args:
        options: as for a run without a page; masks and boxes are optional.
        page: address to serve at.
        warn: called with each warning.

    Raises:
        RunError: the server's libraries are missing, the port is taken, or another process uses the folder.
        ReportedError, OSError: the input cannot be used.
    """
    try:
        import uvicorn

        from aot_jax.browser.guard import in_address
        from aot_jax.browser.server import Server
        from aot_jax.browser.tracking import Tracking
    except ImportError as error:
        raise RunError(NO_SERVER.format(error)) from error
    source = open_source(options.video, options.fps, warn, no_frames=options.masks)
    network = find_network(options.network)
    print(network, flush=True)
    output = options.folder(source.name)
    keep_given(output, source, options.masks)
    output.mkdir(parents=True, exist_ok=True)

    if options.output_height is not None:
        warn(f"--output_height {options.output_height} has no effect here: masks of the page have the frames' size")
    # The page runs a tracker of full depth, and chooses the depth of each frame.
    whole = replace(options, depth=None, target_fps=None, output_height=None)

    def make_tracker() -> Tracker:
        return Tracker(network.load(), max_frames=options.max_frames)

    with lock(output):
        session = Session(source, output, lambda digest: run_settings(whole, source, digest, network))
        tracking = Tracking(session, make_tracker, depths_of(network.config), options.save_every)
        if options.depth is not None:
            tracking.set_depth(options.depth)
        if options.target_fps is not None:
            tracking.set_rate(options.target_fps)
        server = Server(
            session,
            tracking,
            start=_give_masks(session, options, warn),
            network=str(network),
            formats=[OVERLAY, *sorted(EXPORTS)],
            load=lambda index, files: load_files(source, index, files),
            export=lambda formats, packed: export(session, formats, packed, warn),
            host=page.host,
        )
        if page.host not in ("127.0.0.1", "localhost", "::1"):
            warn(f"the page is served at {page.host}: whoever reaches it and knows its address can use it")
        shown = "127.0.0.1" if page.host in ("0.0.0.0", "::") else in_address(page.host)
        config = uvicorn.Config(
            server.app,
            host=page.host,
            port=page.port,
            log_level="warning",
            log_config=None,  # uvicorn's own would close the handlers of other libraries
            ws_max_size=1 << 20,
            timeout_graceful_shutdown=1,
        )
        sockets = [_bind(config, page)]
        port = sockets[0].getsockname()[1]  # that of `page`, or for 0 a free one
        address = f"http://{shown}:{port}/?token={session.token}"
        print(address, flush=True)
        if has_desktop():
            webbrowser.open(address)
        try:
            uvicorn.Server(config).run(sockets=sockets)
        except KeyboardInterrupt:
            pass
        finally:
            tracking.stop()
            tracking.wait()
            session.save()


def _give_masks(session: Session, options: TrackOptions, warn: Callable[[str], None]) -> int:
    """Add the masks given on the command line; return the frame to show first."""
    if not options.masks and not options.boxes:
        return 0
    prompts = read_prompts(session.source, options.masks, options.boxes, options.mask_frame, warn)
    session.add_ids(prompts.ids)
    for index in range(prompts.first, prompts.last + 1):
        labels = prompts.at(index)
        if labels is None:
            continue
        if not session.given_path(session.check(index)).exists():
            session.give(index, labels)
        elif not np.array_equal(session.labels(index), labels):
            warn(f"frame {index} keeps the mask drawn in the browser, {session.given_path(index)}")
    return prompts.first


def _bind(config: Any, page: PageOptions) -> Any:
    try:
        return config.bind_socket()
    except SystemExit:  # uvicorn exits; it has printed the reason
        raise RunError(f"port {page.port} is not available on {page.host}; choose another with --port") from None


def has_desktop() -> bool:
    """Tell whether a browser window can be opened on this machine."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def load_files(
    source: Source, index: int, given: Sequence[tuple[str, bytes]]
) -> tuple[dict[int, np.ndarray], list[str]]:
    """Read mask files dropped on the page, in all formats of `track.py --mask`; several are read as their folder.

    Args:
        source: the video.
        index: frame shown, used for a single mask; several are placed by their names.
        given: path in the dropped folder, or name, and content of each file. The parts of a path are sanitised and
            never lead to another folder.

    Returns:
        Labels (h, w) int32 by frame number, and notes on guesses.

    Raises:
        SessionError: the masks cannot be read, as in `read_masks`, or one fits no frame, or two have one name.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, data in given:
            parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")] or ["mask"]
            if any(map(is_hidden, parts)):
                continue
            path = Path(folder, *(re.sub(r"[^\w. -]", "_", part)[-NAME:] for part in parts[-DEPTH:]))
            if path.exists():
                raise SessionError(f"two of the files are named {name}; rename one")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        try:
            single = len(list_masks([folder])) == 1
            masks = read_masks(folder, source, frame=index if single else None)
            found = {}
            for name in masks:
                frame = source.index_of(name)
                if frame is None:
                    raise SessionError(f"a mask is named {name}, which no frame is")
                found[frame] = np.array(masks[name])
            return found, list(masks.notes)
        except (ReportedError, OSError) as error:
            raise SessionError(str(error).replace(f"{folder}{os.sep}", "").replace(folder, "these files")) from error


def export(
    session: Session, formats: Sequence[str], packed: bool, warn: Callable[[str], None]
) -> tuple[str, Path | None]:
    """Write exports to the results folder and, if `packed`, pack the folder into a zip.

    Returns:
        A message for the user, and the zip's path or None.
    """
    source, folder = session.source, session.folder
    missing = [i for i, kind in enumerate(session.status) if kind == NOTHING]
    text = f"Written to {folder}"
    if missing:
        text += f"; {len(missing)} of {len(session.status)} frames are not tracked yet, and their masks are empty"
    try:
        for index in missing:
            write_mask(session.mask_path(index), np.zeros(source.size, np.int32))
        ids = tuple(sorted(session.names))
        names = [name for name in formats if name != OVERLAY]
        render(source, folder, ids, overlay=OVERLAY in formats, exports=names, quiet=True, warn=warn)
        return text + ".", _pack(folder, source.name) if packed else None
    finally:  # otherwise these frames would count as tracked next time
        for index in missing:
            session.mask_path(index).unlink(missing_ok=True)


def _pack(folder: Path, name: str) -> Path:
    path = folder / f"{name}.zip"
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if file.is_file() and inside.suffix != ".zip" and inside.name != "browser.json" and inside.name[0] != ".":
                archive.write(file, inside)
    return path
