"""Export a trained network to a .safetensors file in float16, or show the description in such a file.

python -m aot_jax.weights export runs/aost --output aost.safetensors --data "DAVIS 2017" --licence "CC BY-NC 4.0"
"""

import argparse
import datetime
import json
from pathlib import Path

import optax

from aot_jax.checkpoint import SUFFIX, CheckpointError, find_params, read_description, write_file
from aot_jax.network import config_of, load_params
from aot_jax.start import reports_errors, run
from aot_jax.weights import SHIPPED


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m aot_jax.weights",
        description="Export a trained network to one .safetensors file, or show the description in one.",
        epilog="example: python -m aot_jax.weights export runs/aost --output aost.safetensors "
        "--data DAVIS --licence CC-BY-NC-4.0. Every command takes the file as --checkpoint",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    export = commands.add_parser(
        "export",
        help="write the averaged weights of a run, or a checkpoint, to one file",
        description="Write the averaged weights of a training run, or a checkpoint, to one file and its SHA-256.",
        epilog="example: python -m aot_jax.weights export runs/aost --output aost.safetensors "
        "--data DAVIS --licence CC-BY-NC-4.0",
    )
    export.add_argument("checkpoint", metavar="DIR", help="training run or folder of weights")
    average = "average the weights with these, of another run of the same network: half of each"
    export.add_argument("--average", metavar="PATH", help=average)
    export.add_argument("--output", required=True, type=Path, metavar="FILE", help=f"to write, ending in {SUFFIX}")
    export.add_argument("--data", required=True, metavar="TEXT", help="what the network was trained on")
    export.add_argument("--licence", required=True, metavar="TEXT", help="licences of the data, and what they allow")
    export.add_argument("--updates", type=int, metavar="N", help="updates of all stages (default: those of the run)")
    export.add_argument("--scores", type=Path, metavar="FILE", help="JSON of scores to keep with the weights")
    show = commands.add_parser(
        "show",
        help="print the description in a file",
        description="Print the description in a file as JSON: config, data, licence, scores.",
        epilog="example: python -m aot_jax.weights show aost.safetensors",
    )
    show.add_argument("file", nargs="?", type=Path, default=SHIPPED, help="(default: the weights that ship)")
    return parser


def export(args: argparse.Namespace) -> None:
    """Write the weights to --output, with a description."""
    if args.output.suffix != SUFFIX:
        raise CheckpointError(f"--output {args.output} does not end in {SUFFIX}; name it so")
    found = find_params(args.checkpoint)
    config = config_of(found)
    step = (read_description(found).get("source") or {}).get("step")
    if args.updates is None and step is None:
        raise CheckpointError(f"{found} does not say after how many updates it was written; add --updates N")
    try:
        scores = json.loads(args.scores.read_text(encoding="utf-8")) if args.scores else {}
    except ValueError as error:
        raise CheckpointError(f"--scores {args.scores} is no JSON: {error}") from None
    source = {
        "data": args.data,
        "licence": args.licence,
        "updates": str(args.updates or step),
        "scores": json.dumps(scores),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    params = load_params(found, config)
    if args.average:
        params = optax.incremental_update(params, load_params(find_params(args.average), config), 0.5)
    write_file(args.output, params, config, source)
    print(f"wrote {args.output}, {args.output.stat().st_size / 1e6:.1f} MB, and its .sha256")


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    args = make_parser().parse_args(argv)
    if args.command == "export":
        export(args)
    else:
        print(json.dumps(read_description(find_params(args.file)), indent=2))
    return 0


if __name__ == "__main__":
    run(main)
