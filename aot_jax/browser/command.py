"""Run `track.py VIDEO --browser`: open the video, print the page's address, serve the page until Ctrl-C."""

import os
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from aot_jax.browser.session import Session
from aot_jax.io.sources import open_source
from aot_jax.network import depths_of, find_network
from aot_jax.runs import RunError, lock
from aot_jax.tracker.tracker import Tracker
from aot_jax.video.options import PageOptions, TrackOptions
from aot_jax.video.prompts import read_prompts
from aot_jax.video.results import keep_given
from aot_jax.video.run import run_settings

NO_SERVER = "--browser needs starlette, uvicorn and websockets ({}): pip install -r requirements-browser.txt"


def open_page(options: TrackOptions, page: PageOptions, warn: Callable[[str], None] = lambda _: None) -> None:
    """Serve the page of a video until Ctrl-C.

    Args:
        options: as for a run without a page; masks and boxes are optional. `backward`, `exports`, `overlay`, `resume`
            and `overwrite` have no effect.
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
    if options.overwrite:
        warn(f"--overwrite has no effect here: the page continues what is in {output}; --output names another folder")
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
            host=page.host,
            warn=warn,
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
