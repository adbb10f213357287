"""The parts of bench/accelerator.py, each a function with the name of its part."""

import contextlib
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from aot_jax.config import load_config
from aot_jax.network import Model, make_model, param_shapes
from aot_jax.ops import attention
from aot_jax.ops import forms as ops_forms
from aot_jax.preprocess import inference_size
from aot_jax.propagate import begin, step
from aot_jax.tracker.tracker import Tracker
from aot_jax.training.state import make_state
from aot_jax.training.step import place, split
from bench import train as training
from bench.accelerator import PEERS, ROOT, TRAINED, Part, Sizes
from bench.forms import DTYPES, forms, time_program
from bench.inference import measure_peer
from bench.measure import BenchError, machine
from bench.video import BenchVideo, generate_video, time_copies, time_video, track_copies

__all__ = ["forms", "memory", "parity", "peer", "speed", "train", "versions"]


class NoRulers:
    """Stands in for `Rulers` and measures nothing: the process has no time for it, or no accelerator."""

    def measure(self) -> None:
        """Do nothing."""


def draw_model(name: str, dtype: str) -> Model:
    """Build a network with random weights drawn by NumPy, since drawing them as training does takes long to compile."""
    config = load_config(name)
    module, random = make_model(config, dtype), np.random.default_rng(0)

    def draw(path: tuple, x: jax.ShapeDtypeStruct) -> np.ndarray:
        around = 1.0 if path[-1].key in ("scale", "var") else 0.0
        return around + 0.02 * random.standard_normal(x.shape, np.float32)

    return Model(module, jax.device_put(jax.tree_util.tree_map_with_path(draw, param_shapes(module))), config)


def versions(part: Part) -> None:
    """Record machine, versions, driver, and whether JAX can use cuDNN's attention."""
    q = jax.ShapeDtypeStruct((1, 8, 64, 32), jnp.bfloat16)
    driver = None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    runtime = jax.devices()[0].client.platform_version.replace("\n", " ")
    part.record(**machine(), driver=driver, runtime=runtime, cudnn=ops_forms.can_fuse(attention.attend_fused, q, q, q))


def speed(part: Part) -> None:
    """Record frames a second with 1 and 10 objects, for one video and several at once; then those of a `Tracker`."""
    video = generate_video(10, part.sizes.frames, *part.sizes.frame)
    by_objects = {1: video.only(video.ids[:1]), 10: video}
    for networks, dtype in itertools.product(part.sizes.networks, DTYPES):
        start = time.monotonic()
        cases = [
            {"config": name, "depth": depth, "dtype": dtype, "videos": videos}
            for videos in (1, part.sizes.videos)
            for name, depth in networks
        ]

        def build(case: dict) -> list[Tracker]:
            model = draw_model(case["config"], case["dtype"])
            trackers = [Tracker(model, case["depth"]) for _ in range(case["videos"])]
            for _ in track_copies(trackers, video):
                pass  # compiles all programs
            return trackers

        for case, trackers in part.compile(build, cases):
            for objects, selected in by_objects.items():
                part.measure(case | {"objects": objects}, time_together, trackers, selected)
        if part.left < time.monotonic() - start:
            part.record(error=f"no time for what comes after {networks} in {dtype}")
            return
    alone = [
        {"config": name, "depth": depth, "dtype": DTYPES[0], "objects": 10} for name, depth in part.sizes.networks[0]
    ]
    for case, tracker in part.compile(lambda x: Tracker(draw_model(x["config"], x["dtype"]), x["depth"]), alone):
        part.measure(case | {"videos": "step by step"}, time_steps, tracker, video)
        part.measure(case | {"videos": "as a stream"}, time_stream, tracker, video)


def time_together(trackers: list[Tracker], video: BenchVideo) -> dict[str, float]:
    """Return the frames a second of all trackers together."""
    for tracker in trackers:
        tracker.reset()  # a measurement that failed leaves them in its video
    return {"frames_per_second": time_copies(trackers, video)["frames_per_second"]}


def time_steps(tracker: Tracker, video: BenchVideo) -> dict[str, float]:
    """Return the frames a second of `Tracker.step`."""
    seconds, _ = time_video(tracker, video, NoRulers())
    return {"frames_per_second": 1 / statistics.median(seconds)}


def time_stream(tracker: Tracker, video: BenchVideo) -> dict[str, float]:
    """Return the frames a second of `Tracker.stream`."""
    tracker.reset()
    labels = tracker.stream(video.frames, {0: video.mask})
    next(labels)  # the reference
    start = time.perf_counter()
    count = sum(1 for _ in labels)
    return {"frames_per_second": count / (time.perf_counter() - start)}


def peer(part: Part) -> None:
    """Record the authors' frames a second on the same frames with 10 objects."""
    assert part.peer is not None
    video = generate_video(10, part.sizes.frames, *part.sizes.frame)
    for name in PEERS:
        if part.left < 0:
            return
        config = load_config(name)
        model = Model(make_model(config), {}, config)
        try:
            found = measure_peer(part.peer, model, video, config.model.depth, NoRulers())
        except BenchError as error:
            part.record(config=name, error=str(error))
            continue
        rate = 1 / statistics.median(found.pop("seconds"))
        part.record(config=name, frames_per_second=rate, **{key: found[key] for key in found if key != "parts"})


def train(part: Part) -> None:
    """Record training clips a second: on the same clips repeated, then on clips from the pipeline.

    The first network's on the same clips are recorded with a loop over a clip's frames too.
    """
    fields = [f"data.crop={part.sizes.crop}", f"train.batch_size={part.sizes.batch}"]
    fields += training.data_fields(training.GENERATED)
    configs = {name: load_config(name, fields) for name in TRAINED[: len(part.sizes.networks[0])]}

    def build(case: dict) -> tuple:
        config = configs[case["config"]]
        params = draw_model(case["config"], "float32").params
        update, state = training.prepare(config, params, case["frames"] == "unrolled")
        batch = split(next(training.drawn_batches(config)))
        return update.lower(state, batch, False).compile(), params

    forms = [*((name, "unrolled") for name in configs), (TRAINED[0], "loop")]
    cases = [{"config": x, "crop": part.sizes.crop, "batch": part.sizes.batch, "frames": form} for x, form in forms]
    for case, (update, params) in part.compile(build, cases):
        config = configs[case["config"]]
        sources = (training.drawn_batches, training.pipeline_batches)
        for source in sources[: 1 if case["frames"] == "loop" else None]:
            if part.left < 0:
                return
            data = source.__name__.removesuffix("_batches")
            part.measure(case | {"data": data}, time_training, update, params, config, source, part.sizes)


def time_training(update: Callable, params: Any, config: ConfigDict, source: Callable, sizes: Sizes) -> dict:
    """Return clips a second, the share of waiting for data, and the device's peak memory so far."""
    state = place(make_state(jax.tree.map(jnp.copy, params), config))
    found = training.time_updates(update, state, source(config), sizes.steps, None)
    figures = {key: found[key] for key in ("waiting", "peak_mib")}
    return {"clips_per_second": sizes.batch / found["seconds"]} | figures


def memory(part: Part) -> None:
    """Record time and memory of a frame with full long-term memory, with fused and with plain attention."""
    longest, (height, width) = part.sizes.memory_frames, part.sizes.frame
    size = inference_size(height, width, align_corners=True)

    def build(case: dict) -> tuple:
        model = draw_model("aost", case["dtype"])
        image, mask = jnp.zeros((1, *size, 3)), jnp.zeros((1, *size), jnp.int32)

        def first(params: Any) -> Any:
            _, frame_kv = step(model.module, params, None, image, mask=mask)
            return begin(model.module, params, frame_kv, mask, longest)

        shapes = jax.eval_shape(first, model.params)
        state = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), shapes)
        state = state.replace(long_depth=jnp.full_like(state.long_depth, model.config.model.depth))
        program = jax.jit(lambda params, state: step(model.module, params, state, image))
        return program.lower(model.params, state).compile(), model.params, state

    for kind, dtype in (("fused", "bfloat16"), ("plain", "bfloat16"), ("plain", "float32")):
        with ops_forms.choose(**({} if kind == "fused" else {"fused": "cpu"})):
            built = list(
                part.compile(build, [{"config": "aost", "dtype": dtype, "attention": kind, "frames": longest}])
            )
        for case, (program, params, state) in built:
            state_mib = sum(x.nbytes for x in jax.tree.leaves(state)) / 2**20
            sizes = {"memory_mib": state_mib, "temporary_mib": program.memory_analysis().temp_size_in_bytes / 2**20}
            part.measure(case | sizes, time_program, program, params, state)
        if part.left < 0:
            return


def parity(part: Part) -> None:
    """Record the largest difference of logits from the authors' results in tests/reference."""
    sys.path.insert(0, str(ROOT / "tests"))
    import parity as cases

    def compare(case: dict) -> None:
        with jax.default_matmul_precision(case["precision"]):
            worst = cases.compare(cases.OWN / f"{case['case']}.json", case["dtype"])["logits"]
        part.record(**case, worst_difference=worst)

    paths = sorted(cases.OWN.glob("*.json"))[: len(part.sizes.networks[0])]
    kinds = (("float32", "highest"), ("bfloat16", "default"), ("float32", "default"))
    names = [{"case": path.stem, "dtype": dtype, "precision": level} for dtype, level in kinds for path in paths]
    for _ in part.compile(compare, names):
        pass
