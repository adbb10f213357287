"""Lay out what `bench/inference.py` measured, beside what it should be and what the authors' code takes."""

from bench import peer
from bench.measure import Rulers, format_table

ENOUGH = 10  # frames for a median

# Units that a frame may take, and what the authors' code takes as shipped, by config and depth: 480x854 frames, two
# objects, frames 1 - 30 of a clip, float32, two CPU cores, without its CUDA extension.
TARGETS = {("aott", 1): 5.3, ("aots", 2): 8.3, ("aotl", 3): 12.0, ("aotl_r50", 3): 13.7, ("aost", 3): 12.0}
ORIGINAL = {("aott", 1): 16, ("aots", 2): 25, ("aotl", 3): 36, ("aotl_r50", 3): 41}
MOST_OBJECTS = 10  # that the targets hold for: more are several groups
OVER_FLOOR = 2.5  # times the floor that a whole step may take

HEADERS = ("", "compile s", "ms", "frames/s", "units", "GFLOP", "XLA GFLOP", "XLA MB", "floor ms", "over floor")


def format_case(case: dict, rulers: Rulers) -> str:
    """Lay out a case for a terminal: its setting, a table, and the targets that are known for it."""
    seen = case["memory_frames"]
    gap = f"a memory frame every {case['gap']}" if case["gap"] else "the reference only in memory"
    height, width = case["frame"]
    lines = [
        f"{case['config']}, depth {case['depth']}, {case['dtype']}: {height}x{width} ({case['clip']}), "
        f"{case['objects']} objects, {gap}",
        f"medians of {case['frames']} frames, which saw {seen['median']:g} memory frames "
        f"({seen['least']} - {seen['most']})" + (": too few to trust" if case["frames"] < ENOUGH else ""),
        rulers.describe(),
        "",
        format_table(HEADERS, [_row(name, figures) for name, figures in case["programs"].items()]),
    ]
    step = case["programs"]["step"]
    key = case["config"], case["depth"]
    if key in TARGETS and case["objects"] <= MOST_OBJECTS:
        original = f"; the authors' code takes {ORIGINAL[key]}" if key in ORIGINAL else ""
        lines.append(_verdict("units a frame", step["units"], TARGETS[key], " at 480x854, two objects" + original))
    lines.append(_verdict("step over floor", step["over_floor"], OVER_FLOOR))
    if "batch" in case:
        batch = case["batch"]
        lines.append(
            f"{batch['videos']} videos at once, a program a frame: {batch['frames_per_second']:.4g} frames/s together; "
            f"one video at a time: {1 / step['seconds']:.4g}"
        )
    if "peer" in case:
        lines.append(peer.describe(case["peer"], "frame", step["seconds"], rulers))
    return "\n".join(lines)


def _row(name: str, figures: dict) -> list:
    def scaled(key: str, factor: float) -> float | None:
        return figures[key] * factor if figures[key] else None

    return [
        name,
        scaled("compile", 1.0),
        1e3 * figures["seconds"],
        1 / figures["seconds"],
        figures["units"],
        scaled("flops", 1e-9),
        scaled("xla_flops", 1e-9),
        scaled("xla_bytes", 1e-6),
        scaled("floor", 1e3),
        figures["over_floor"],
    ]


def _verdict(what: str, value: float, most: float, note: str = "") -> str:
    return f"{what}: {value:.2f}, {'within' if value <= most else 'above'} the target of {most:g}{note}"
