"""Numbers on the command line: out of range, they are errors of one line."""

import importlib

import pytest

from aot_jax.flags import parse_args


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("track", "a.mp4 --max_frames -1", "--max_frames: '-1' is not an integer of at least 0"),
        ("track", "a.mp4 --save_every 0", "--save_every: '0' is not an integer of at least 1"),
        ("track", "a.mp4 --output_height 1.5", "--output_height: '1.5' is not an integer of at least 1"),
        ("track", "a.mp4 --fps inf", "--fps: 'inf' is not a positive number"),
        ("track", "a.mp4 --fps nan", "--fps: 'nan' is not a positive number"),
        ("track", "a.mp4 --target_fps x", "--target_fps: 'x' is not a positive number"),
        ("eval", "--split davis16 --max_long_edge -1", "--max_long_edge: '-1' is not an integer of at least 0"),
        ("eval", "--split davis16 --devices 0", "--devices: '0' is not an integer of at least 1"),
    ],
)
def test_numbers_out_of_range(capsys, command, flags, message):
    with pytest.raises(SystemExit, match="2"):
        parse_args(importlib.import_module(f"aot_jax.commands.{command}").make_parser(), flags.split())
    assert capsys.readouterr().err.splitlines()[-1].endswith(message)


def test_numbers_in_range():
    parser = importlib.import_module("aot_jax.commands.track").make_parser()
    args, _ = parse_args(parser, ["a.mp4", "--max_frames", "0", "--fps", "23.976", "--depth", "2"])
    assert (args.max_frames, args.fps, args.depth) == (0, 23.976, 2)
