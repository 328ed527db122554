"""`eyeline-train`: fit, validate, test and predict over a curated set, as flags or YAML."""

import sys
from collections.abc import Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from align import UsageError, console

from .checkpoints import Checkpoint, read_checkpoint, require_no_conflict, require_same_classes, resolve
from .console import EpochLines, StderrProgressBar, notice, quiet
from .data import FaceData
from .evaluate import EvaluationReport, table
from .module import FaceClassifier
from .predict import PredictionWriter
from .rows import read_classes

_TRAINER_DEFAULTS = {"max_epochs": 5, "log_every_n_steps": 1, "num_sanity_val_steps": 0, "enable_model_summary": False}
_CONFIG_FLAGS = ("--config", "-c")


def recipe_names() -> list[str]:
    """List the recipes that ship with the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _recipes() if entry.name.endswith(".yaml"))


def _recipes() -> list[Any]:
    return list((files(__package__) / "recipes").iterdir())


def with_recipe_paths(arguments: Sequence[str]) -> list[str]:
    """Put the path of the shipped recipe in place of its name after `--config`; an existing file wins.

    Raises:
        UsageError: Neither a file nor a recipe has the name.
    """
    out: list[str] = []
    expects_config = False
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if expects_config:
            out.append(_config_path(argument))
        elif equals and flag in _CONFIG_FLAGS:
            out += [flag, _config_path(value)]
        else:
            out.append(argument)
        expects_config = not expects_config and argument in _CONFIG_FLAGS
    return out


def _config_path(given: str) -> str:
    if Path(given).is_file():
        return given
    for entry in _recipes():
        if entry.name == f"{given}.yaml":
            return str(entry)
    raise UsageError(f"--config: expected a file or one of the recipes {', '.join(recipe_names())} (got {given!r})")


def _recipe_name(arguments: Sequence[str]) -> str:
    """Name a run after its last config, or `default`."""
    named = [value for flag, value in pairwise(arguments) if flag in _CONFIG_FLAGS]
    return Path(named[-1]).stem if named else "default"


class _Parser(LightningArgumentParser):
    """Says what is wrong with the usage in one sentence instead of listing every option."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what the parser found."""
        if isinstance(ex, UsageError):
            raise ex
        found = " ".join(message.split())
        raise UsageError(f"{found}; the options are listed by --help") from ex


class EyelineTrainCLI(LightningCLI):
    """A LightningCLI whose class list comes from the set, whose runs lie in one folder, and whose flags never lose.

    A run's folder is `trainer.default_root_dir`: `checkpoints/last.ckpt`, and a folder for each subcommand with its
    config, its csv and TensorBoard logs, and what it wrote.

    Args:
        arguments: The command line, recipe names already turned into paths.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = list(arguments)
        self.checkpoint: Checkpoint | None = None
        self.reports: list[EvaluationReport | PredictionWriter] = []
        super().__init__(
            FaceClassifier,
            FaceData,
            args=self.arguments,
            seed_everything_default=0,
            parser_class=_Parser,
            parser_kwargs={"prog": "eyeline-train", **{name: {"allow_abbrev": False} for name in self.subcommands()}},
            trainer_defaults=_TRAINER_DEFAULTS,
            save_config_kwargs={"overwrite": True},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """List the subcommands, each with the arguments of the trainer's method that we decide."""
        ours = {"verbose", "weights_only", "return_predictions"}
        return {name: skipped | ours for name, skipped in LightningCLI.subcommands().items()}

    def fit(self, **kwargs: Any) -> None:
        """Train; a checkpoint to go on from is loaded without running code that it might hold."""
        self.trainer.fit(weights_only=True, **kwargs)

    def validate(self, **kwargs: Any) -> None:
        """Evaluate on the validation split; the report prints what Lightning's own table would."""
        self.trainer.validate(weights_only=True, verbose=False, **kwargs)

    def test(self, **kwargs: Any) -> None:
        """Evaluate on the test split."""
        self.trainer.test(weights_only=True, verbose=False, **kwargs)

    def predict(self, **kwargs: Any) -> None:
        """Predict; the writer keeps the predictions."""
        self.trainer.predict(weights_only=True, return_predictions=False, **kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add `--json`."""
        parser.add_argument("--json", action="store_true", help="Print one JSON result on stdout instead of a table.")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the command line."""
        self.config = parser.parse_args(args)
        self._given = parser.parse_args(args, defaults=False)

    @property
    def _options(self) -> Any:
        return self.config[self.config.subcommand]

    def _parse_ckpt_path(self) -> None:
        """Take the model from the checkpoint; refuse what the command line says otherwise."""
        options, subcommand = self._options, self.config.subcommand
        self.run_folder = self._find_run_folder()
        if options.ckpt_path is None:
            if subcommand != "fit":
                raise UsageError(f"eyeline-train {subcommand}: expected --ckpt_path, the checkpoint of a trained model")
            return
        options.ckpt_path = str(resolve(str(options.ckpt_path), self.run_folder))
        self.checkpoint = read_checkpoint(Path(options.ckpt_path))
        model = self._given[subcommand].get("model")
        require_no_conflict(model.as_dict() if model else {}, self.checkpoint)
        hyperparameters = self.checkpoint.hyperparameters
        hyperparameters |= {"backbone": {**hyperparameters["backbone"], "pretrained": False}}  # its weights follow
        self.config = self.parser.parse_object({subcommand: {"model": hyperparameters}}, self.config)

    def _find_run_folder(self) -> Path:
        """Give the run's folder: the one that was asked for, else the checkpoint's, else `runs/<recipe>`."""
        options = self._options
        given = options.ckpt_path and Path(str(options.ckpt_path))
        if options.trainer.default_root_dir is None:
            beside = given and given.parent.name == "checkpoints"
            folder = given.parent.parent if beside else Path("runs") / _recipe_name(self.arguments)
            options.trainer.default_root_dir = str(folder)
        return Path(options.trainer.default_root_dir)

    def before_instantiate_classes(self) -> None:
        """Give the data its seed, and the model the set's classes."""
        options = self._options
        root = Path(options.data.root)
        if options.data.seed is None:
            options.data.seed = int(options.seed_everything)
        options.trainer.use_distributed_sampler = False  # ours know rank and world
        if self.config.subcommand == "predict":
            return
        classes = read_classes(root)
        if self.checkpoint:
            require_same_classes(self.checkpoint, classes, root)
        elif options.model.classes not in (None, classes):
            raise UsageError(
                f"--model.classes: expected the classes of {root}, {classes} "
                f"(got {options.model.classes}); leave it out"
            )
        options.model.classes = classes

    def after_instantiate_classes(self) -> None:
        """Say in one line what a user would otherwise find out late."""
        backbone, finetune = self.model.backbone, self.model.finetune
        if self.checkpoint:
            return
        if finetune.never_learns and not backbone.pretrained:
            notice(
                "the backbone is frozen at random weights: set model.backbone.pretrained or model.finetune.freeze=none"
            )

    def _folder(self) -> Path:
        """Give the folder of this subcommand's logs and results; a resumed fit keeps the logs it goes on from."""
        name = str(self.config.subcommand)
        if name == "fit" and self.checkpoint:
            name = f"fit-from-step-{self.checkpoint.global_step}"
        return self.run_folder / name

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Make the trainer with our callbacks, and with csv and TensorBoard logs whatever else is asked for."""
        folder, subcommand = self._folder(), self.config.subcommand
        config = self.config_init[subcommand].trainer
        callbacks = _as_list(config.callbacks)
        others = [logger for logger in _as_list(config.logger) if not isinstance(logger, bool)]
        _clear_events(folder)
        loggers = [CSVLogger(folder, name="", version=""), TensorBoardLogger(folder, name="", version="")]
        if subcommand == "fit":
            callbacks += [_last_checkpoint(self.run_folder), EpochLines()]
        else:
            kwargs["enable_checkpointing"] = False
            writes_csv = subcommand == "predict"
            self.reports = [PredictionWriter(folder / "predictions.csv") if writes_csv else EvaluationReport(folder)]
        if config.enable_progress_bar is not False and sys.stderr.isatty():
            callbacks.append(StderrProgressBar())
        else:
            kwargs["enable_progress_bar"] = False
        return super().instantiate_trainer(logger=[*loggers, *others], callbacks=callbacks + self.reports, **kwargs)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


@rank_zero_only
def _clear_events(folder: Path) -> None:
    """Remove the TensorBoard events of an earlier run in this folder, which would be drawn over this one's."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        path.unlink()


def _last_checkpoint(run_folder: Path) -> ModelCheckpoint:
    """Make the callback that keeps the newest epoch as `checkpoints/last.ckpt`."""
    return ModelCheckpoint(
        run_folder / "checkpoints",
        save_last=True,
        save_top_k=0,
        enable_version_counter=False,  # else a second run would write last-v1.ckpt beside the old last.ckpt
    )


def _show(cli: EyelineTrainCLI) -> None:
    """Print the result of a run, on the first rank: a table, or JSON where it was asked for."""
    if not cli.trainer.is_global_zero:
        return
    result: dict[str, Any] = {}
    for report in cli.reports:
        result |= report.result or {}
    if cli.config.subcommand == "fit":
        metrics = {name: float(value) for name, value in sorted(cli.trainer.callback_metrics.items())}
        checkpoint = str(cli.run_folder / "checkpoints" / "last.ckpt")
        result = {**metrics, "files": {"checkpoint": checkpoint, "logs": str(cli._folder())}}  # noqa: SLF001 - same module
    if cli._options.json:  # noqa: SLF001 - same module
        console.emit_json(result)
        return
    if "classes" in result:
        console.emit_text(table(result))
    for name, path in result.get("files", {}).items():
        console.emit_text(f"{name}: {path}")


def main(args: Sequence[str] | None = None) -> int:
    """Run `eyeline-train` and return its exit code: 0 done, 1 failed, 2 wrong usage.

    Args:
        args: The command line without the program's name; None takes the process's own.
    """
    arguments = list(sys.argv[1:] if args is None else args)

    def command() -> int:
        with quiet():
            _show(EyelineTrainCLI(with_recipe_paths(arguments)))
        return console.DONE

    return console.run_command(command)


if __name__ == "__main__":
    sys.exit(main())
