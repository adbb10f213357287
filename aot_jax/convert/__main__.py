"""The command that converts a file of PyTorch weights to a checkpoint."""

import argparse
import hashlib
from pathlib import Path

from aot_jax.checkpoint import save_params
from aot_jax.config import load_config
from aot_jax.convert import load_weights
from aot_jax.flags import add_config_flags, parse_args
from aot_jax.network import default_path
from aot_jax.start import reports_errors, run


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m aot_jax.convert",
        description="Convert a file of PyTorch weights to a checkpoint.",
        epilog="example: python -m aot_jax.convert AOTL.pth --config configs/aotl.py --output checkpoints/aotl",
    )
    parser.add_argument("weights", metavar="FILE", help="weights of the authors, or of an encoder: .pth, .pt or .npz")
    add_config_flags(parser, "configs/aost_r50.py")
    parser.add_argument("--output", metavar="DIR", help="checkpoint to write (default: checkpoints/<config name>)")
    part = (
        "encoder: take ImageNet weights of the encoder only, the rest starts as drawn from config.seed "
        "(default: %(default)s)"
    )
    parser.add_argument("--part", choices=("all", "encoder"), default="all", help=part)
    return parser


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for weights that cannot be converted."""
    args, overrides = parse_args(make_parser(), argv)
    config = load_config(args.config, overrides)
    output = Path(args.output or default_path(config))
    params = load_weights(args.weights, config, encoder_only=args.part == "encoder", seed=config.seed)
    source = {"file": str(args.weights), "sha256": sha256(args.weights), "part": args.part}
    save_params(output, params, config, source=source)
    print(f"wrote {output}")
    return 0


if __name__ == "__main__":
    run(main)
