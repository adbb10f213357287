"""Requests to the page of a small video."""

import gzip

import numpy as np
import tiny

from aot_jax import Tracker
from aot_jax.browser.tracking import Tracking

H, W, FRAMES = 33, 49, 6
ORIGIN = {"origin": "http://127.0.0.1:8765"}


def make_server(session, host="127.0.0.1"):
    from aot_jax.browser.server import Server  # needs starlette

    tracking = Tracking(session, lambda: Tracker(tiny.load("aost")), [1, 2, 3])
    return Server(session, tracking, start=0, network="tiny", host=host)


def at(session, path):
    return f"/{session.token}/{path}"


def ws(session, client):
    return f"ws://127.0.0.1:8765/{session.token}/ws?client={client}"


def box(value=1):
    mask = np.zeros((H, W), np.uint8)
    mask[5:20, 5:20] = value
    return mask


def put(client, session, index, mask):
    body = gzip.compress(mask.tobytes())
    return client.put(at(session, f"mask/{index}"), content=body, headers=ORIGIN)
