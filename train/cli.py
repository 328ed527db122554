"""eyeline-train: a curated set in, a trained model and its numbers out."""

import difflib
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser

from align import UsageError, console

from .recipes import with_recipe_paths

TRAINER_COMMANDS = {
    "fit": "train on a curated set",
    "validate": "evaluate a checkpoint on the validation split",
    "test": "evaluate a checkpoint on the test split",
    "predict": "write what a checkpoint says about each face of a set",
    "lr_find": "look for a learning rate: a short run whose rate rises until the loss does",
}
"""The commands that LightningCLI gives."""

OWN_COMMANDS: dict[str, str] = {
    "weights": "list the face-pretrained weights, with their licences, and which of them are here",
    "pack": "decode the crops of a set once",
    "annotate": "write what a checkpoint says about the faces of photos, videos, streams and cameras",
    "benchmark": "measure what backbones cost: parameters, speed, latency, memory",
    "export": "write a checkpoint as ONNX, TorchScript or torch.export",
    "look": "draw a model's filters, activation maps and Grad-CAM",
    "sweep": "train every combination of a grid, into one table and plot",
    "recipes": "list the systems that ship as recipes, or run one from data to numbers",
    "evaluate": "one page and one file of numbers about a checkpoint on a set",
    "cascade": "face or not by one checkpoint, then the emotion by another: evaluate both together, or predict",
}
"""The other commands and what each does; the module of each is `train.commands.<name>`."""


def make_parser() -> ArgumentParser:
    """Make the parser of our own commands; the reference is generated from it."""
    parser = ArgumentParser(prog="eyeline-train", description=__doc__)
    commands = parser.add_subcommands(required=True)
    for name, said in OWN_COMMANDS.items():
        commands.add_subcommand(name, _module(name).make_parser(), help=said)
    return parser


def _module(name: str) -> Any:
    """Import the module of a command: `make_parser()`, and `run(arguments)` which returns the exit code."""
    return import_module(f".commands.{name}", __package__)


def overview() -> str:
    """List the commands, a line each."""
    width = max(map(len, TRAINER_COMMANDS | OWN_COMMANDS))
    lines = [f"  {name:<{width}}  {said}" for name, said in (TRAINER_COMMANDS | OWN_COMMANDS).items()]
    return "\n".join(["usage: eyeline-train COMMAND ...", "", *lines, "", "eyeline-train COMMAND --help says more."])


def _own(arguments: Sequence[str]) -> int:
    name, *rest = arguments
    module = _module(name)
    parser = module.make_parser()
    parser.prog = f"eyeline-train {name}"
    return int(module.run(parser.parse_args(rest)))


def _trainer(arguments: Sequence[str]) -> int:
    from .console import quiet
    from .lightning_cli import EyelineTrainCLI, show

    with quiet():
        try:
            show(EyelineTrainCLI(with_recipe_paths(arguments)))
        except SystemExit as error:  # Lightning's own end after Ctrl-C, which says nothing
            if not isinstance(error.__context__, KeyboardInterrupt):
                raise
            again = " with --ckpt_path last, which goes on from the newest checkpoint" * (arguments[0] == "fit")
            console.notice(f"stopped; run the same command again{again}")
            return console.FAILED
    return console.DONE


def main(args: Sequence[str] | None = None) -> int:
    """Run `eyeline-train` and return its exit code: 0 done, 1 failed, 2 wrong usage.

    Args:
        args: The command line without the program's name; None takes the process's own.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    if not arguments or arguments[0] in ("-h", "--help"):
        console.emit_text(overview())
        return console.DONE
    return console.run_command(lambda: _command(arguments[0])(arguments))


def _command(name: str) -> Callable[[Sequence[str]], int]:
    """Choose what runs a command; a wrong name is told at once, before torch is loaded.

    Raises:
        UsageError: There is no such command.
    """
    known = [*TRAINER_COMMANDS, *OWN_COMMANDS]
    if name not in known and not name.startswith("-"):  # Lightning takes some options before the command
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UsageError(f"eyeline-train: expected a command of {', '.join(known)} (got {name!r}){hint}")
    return _own if name in OWN_COMMANDS else _trainer


if __name__ == "__main__":
    sys.exit(main())
