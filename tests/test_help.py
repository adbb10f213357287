"""Every command: each flag has a help text, and the examples of --help and the pages parse."""

import argparse
import importlib
import re
import shlex
from pathlib import Path
from string import Template

import pytest

from aot_jax.config import load_config
from aot_jax.flags import parse_args

ROOT = Path(__file__).resolve().parents[1]
# Commands as typed after `python`, with the module of their parser.
COMMANDS = {
    "train.py": "aot_jax.commands.train",
    "eval.py": "aot_jax.commands.eval",
    "track.py": "aot_jax.commands.track",
    "-m aot_jax.configs": "aot_jax.configs.__main__",
    "-m aot_jax.convert": "aot_jax.convert.__main__",
    "-m aot_jax.figures": "aot_jax.figures.__main__",
    "-m aot_jax.metrics": "aot_jax.metrics.__main__",
    "-m aot_jax.weights": "aot_jax.weights.__main__",
    "-m data_pipeline.check": "data_pipeline.check",
}
COMMANDS |= {
    f"-m bench.{path.stem}": f"bench.{path.stem}"
    for path in sorted((ROOT / "bench").glob("*.py"))
    if "def make_parser" in path.read_text()
}


def make_parser(command):
    return importlib.import_module(COMMANDS[command]).make_parser()


def parsers_of(parser):
    """Yield a parser and those of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def parse(line):
    """Parse a line `python COMMAND FLAGS` with the command's own parser, and its config with the overrides."""
    words = shlex.split(line, comments=True)
    words = words[words.index("python") + 1 :]
    if (ROOT / words[0]).is_relative_to(ROOT / "examples"):  # a program without flags
        assert (ROOT / words[0]).is_file()
        return
    count = 2 if words[0] == "-m" else 1
    parser = make_parser(" ".join(words[:count]))
    args, overrides = parse_args(parser, words[count:])
    if getattr(args, "config", None):
        load_config(args.config, overrides)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_complete_and_its_example_can_be_run(command, monkeypatch):
    monkeypatch.setattr("sys.argv", [command])  # the parser's program name
    whole = make_parser(command)
    for parser in parsers_of(whole):
        assert command.removeprefix("-m ") in parser.prog
        assert parser.description.rstrip().endswith(".")
        assert [action.dest for action in parser._actions if not action.help and action.nargs != argparse.PARSER] == []
        unsaid = [
            action.dest
            for action in parser._actions
            if action.default not in (None, False, [], "", argparse.SUPPRESS)
            and action.const is not False  # --no_...
            and "default" not in (action.help % {**vars(action), "prog": parser.prog})
        ]
        assert unsaid == []
        example = re.search(r"example: (python .+?)(?=\. |$)", parser.epilog)
        assert example, parser.epilog
        assert example[1].startswith(f"python {command} ")
        parse(example[1])
        assert "example: python" in parser.format_help()


def commands_in(text):
    """List the lines of a page that run one of our commands, with continuation lines and the page's shell variables."""
    values = dict(re.findall(r'^ {4}(\w+)="(.*?)"', text, re.MULTILINE | re.DOTALL))
    values |= dict(re.findall(r"^ {4}for (\w+) in (\w+)", text, re.MULTILINE))  # the first of a loop
    lines = re.findall(r"^ {4}.*?(python (?:-m )?[\w.]+.*)", re.sub(r"\\\n\s*", "", text), re.MULTILINE)
    return [Template(line).safe_substitute(values) for line in lines]


PAGES = [path for path in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")] if commands_in(path.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_pages_can_be_run(page):
    for line in commands_in(page.read_text()):
        for part in re.split("&&|;", line):
            if "python" in part:
                parse(part)


def test_what_is_found_on_a_page():
    assert ROOT / "README.md" in PAGES
    page = "    srun python train.py --a \\\n        --b\n    x && python -m x.y && z\npython no.py\n"
    assert commands_in(page) == ["python train.py --a --b", "python -m x.y && z"]
    page = '    A="--b\n      --c"\n    for d in e f; do python x.py $A $d; done'
    assert commands_in(page) == ["python x.py --b\n      --c e; done"]
