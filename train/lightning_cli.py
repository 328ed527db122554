"""Fit, validate, test and predict over a curated set, as flags or YAML: what of `eyeline-train` is Lightning's."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
from jsonargparse import dict_to_namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from align import UsageError, console

from .checkpoints import (
    NAMES,
    Checkpoint,
    read_checkpoint,
    require_no_conflict,
    require_tasks,
    resolve,
    without_weights,
)
from .console import EpochLines, StderrProgressBar, notice
from .data import FaceData
from .evaluate import EvaluationReport, table
from .lr_finder import write_curve
from .module import FaceModel
from .predict import PredictionWriter
from .recipes import CONFIG_FLAGS
from .rows import labelled, read_rows, read_tasks, select
from .tasks import Tasks
from .trainer import Trainer

_TRAINER_DEFAULTS = {"max_epochs": 5, "log_every_n_steps": 1, "num_sanity_val_steps": 0, "enable_model_summary": False}


def _recipe_name(arguments: Sequence[str]) -> str:
    """Name a run after its last config, or `default`."""
    named = [value for flag, value in pairwise(arguments) if flag in CONFIG_FLAGS]
    return Path(named[-1]).stem if named else "default"


_REPORTS: dict[str, Callable[[Path], EvaluationReport | PredictionWriter]] = {
    "validate": EvaluationReport,
    "test": EvaluationReport,
    "predict": lambda folder: PredictionWriter(folder / "predictions.csv"),
}
"""What writes the results of a command into its folder."""


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

    A run's folder is `trainer.default_root_dir`: `checkpoints/last.ckpt` and `best.ckpt`, and a folder for each
    subcommand with its config, its csv and TensorBoard logs, and what it wrote.

    Args:
        arguments: The command line, recipe names already turned into paths.
    """

    trainer: Trainer

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = list(arguments)
        self.checkpoint: Checkpoint | None = None
        self.validates = False
        self.reports: list[EvaluationReport | PredictionWriter] = []
        self.found: dict[str, Any] = {}
        super().__init__(
            FaceModel,
            FaceData,
            args=self.arguments,
            seed_everything_default=0,
            trainer_class=Trainer,
            parser_class=_Parser,
            parser_kwargs={"prog": "eyeline-train", **{name: {"allow_abbrev": False} for name in self.subcommands()}},
            trainer_defaults=_TRAINER_DEFAULTS,
            save_config_kwargs={"overwrite": True},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # Lightning asks an instance, too
        """List the subcommands, each with the arguments of the trainer's method that we decide.

        Where the command line begins with one it stands alone: the parser of each costs as much as the rest of a start.
        """
        ours = {"verbose", "weights_only", "return_predictions"}
        found = {name: skipped | ours for name, skipped in LightningCLI.subcommands().items()}
        found |= {"lr_find": {"model", "datamodule"}}
        asked = self.arguments[0]
        return {asked: found[asked]} if asked in found else found

    def fit(self, **kwargs: Any) -> None:
        """Train; a checkpoint to go on from is loaded without running code that it might hold."""
        try:
            self.trainer.fit(weights_only=True, **kwargs)
        except RuntimeError as error:  # Lightning has no kind of its own for this one
            if not str(error).startswith("Early stopping conditioned on metric"):
                raise
            raise UsageError(f"--trainer.callbacks: {' '.join(str(error).split())}") from error
        if self.checkpoint and self.trainer.global_step == self.checkpoint.global_step:
            notice(
                f"nothing was trained: {self.checkpoint.path} is at step {self.checkpoint.global_step} and epoch "
                f"{self.trainer.current_epoch}, where this run ends; set trainer.max_epochs or max_steps higher"
            )
        best = self.run_folder / "checkpoints" / "best.ckpt"
        written = self.checkpoints()
        if self.trainer.is_global_zero and "last" in written and "best" not in written and best.is_file():
            best.unlink()  # an earlier run's, which would be taken for this one's

    def checkpoints(self) -> dict[str, str]:
        """Give the checkpoints that this run wrote, or goes on from, by name: `last`, and `best` once it validated."""
        ours = self.run_folder / "checkpoints"
        callbacks = [back for back in self.trainer.checkpoint_callbacks if isinstance(back, ModelCheckpoint)]
        paths = [Path(back.best_model_path) for back in callbacks if back.best_model_path]
        found = {path.stem: str(ours / path.name) for path in paths if path.parent.resolve() == ours.resolve()}
        return {name: found[name] for name in NAMES if name in found}

    def validate(self, **kwargs: Any) -> None:
        """Evaluate on the validation split; the report prints what Lightning's own table would."""
        self.trainer.validate(weights_only=True, verbose=False, **kwargs)

    def test(self, **kwargs: Any) -> None:
        """Evaluate on the test split."""
        self.trainer.test(weights_only=True, verbose=False, **kwargs)

    def predict(self, **kwargs: Any) -> None:
        """Predict; the writer keeps the predictions."""
        self.trainer.predict(weights_only=True, return_predictions=False, **kwargs)

    def lr_find(self, **kwargs: Any) -> None:
        """Look for a learning rate, and write what was found."""
        self.trainer.lr_find(**kwargs)
        if self.trainer.is_global_zero:
            self.found = write_curve(self.trainer.curve, self._folder())

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add `--json` and `--compile`."""
        parser.add_argument("--json", action="store_true", help="Print one JSON result on stdout instead of a table.")
        parser.add_argument("--compile", action="store_true", help="Compile the backbone: slow to start, then faster.")

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
        if options.get("ckpt_path") is None:
            if subcommand not in ("fit", "lr_find"):
                raise UsageError(f"eyeline-train {subcommand}: expected --ckpt_path, the checkpoint of a trained model")
            return
        options.ckpt_path = str(resolve(str(options.ckpt_path), self.run_folder))
        self.checkpoint = read_checkpoint(Path(options.ckpt_path))
        model = self._given[subcommand].get("model")
        require_no_conflict(model.as_dict() if model else {}, self.checkpoint)
        hyperparameters = without_weights(self.checkpoint.hyperparameters)
        self.config = self.parser.parse_object({subcommand: {"model": hyperparameters}}, self.config)

    def _find_run_folder(self) -> Path:
        """Give the run's folder: the one that was asked for, else the checkpoint's, else `runs/<recipe>`."""
        options = self._options
        named = options.get("ckpt_path")
        given = named and Path(str(named))
        if options.trainer.default_root_dir is None:
            beside = given and given.parent.name == "checkpoints"
            folder = given.parent.parent if beside else Path("runs") / _recipe_name(self.arguments)
            options.trainer.default_root_dir = str(folder)
        return Path(options.trainer.default_root_dir)

    def before_instantiate_classes(self) -> None:
        """Give the data its seed, and the model the tasks that the set is labelled for."""
        options = self._options
        root = Path(options.data.root)
        if options.data.seed is None:
            options.data.seed = int(options.seed_everything)
        options.trainer.use_distributed_sampler = False  # ours know rank and world
        if self.config.subcommand == "predict":
            return
        rows = read_rows(root)
        found = read_tasks(root, rows, options.data.tasks, options.data.units)
        tasks = self.checkpoint.tasks if self.checkpoint else found
        self.validates = bool(len(labelled(select(rows, root, "val", tasks))))
        if self.checkpoint:
            require_tasks(self.checkpoint, found, root)
            return
        given, wanted = options.model.tasks, asdict(found)
        if given is not None and given.as_dict() != wanted:
            raise UsageError(
                f"--model.tasks: expected what {root} is labelled for, {wanted} (got {given.as_dict()}); "
                "leave it out, and choose with --data.tasks and --data.units"
            )
        options.model.tasks = dict_to_namespace(wanted)

    def after_instantiate_classes(self) -> None:
        """Compile where it was asked for, and say in one line what a user would otherwise find out late."""
        backbone, finetune = self.model.backbone, self.model.finetune
        if self._options.compile:
            backbone.net.compile()  # in place: the checkpoint's keys stay as they are
        if self.checkpoint:
            return
        if backbone.report is not None:
            notice(backbone.report.line())
        if finetune.never_learns and not backbone.pretrained:
            notice("the backbone is frozen at random weights: set model.backbone.weights or model.finetune.freeze=none")

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
            if self.validates:  # before last.ckpt: a run that is killed between the two then goes on from before both
                callbacks.append(_best_checkpoint(self.run_folder, self.model.tasks))
            callbacks += [_last_checkpoint(self.run_folder), EpochLines()]
        else:
            kwargs["enable_checkpointing"] = False
            self.reports = [_REPORTS[subcommand](folder)] if subcommand in _REPORTS else []
        if config.enable_progress_bar is not False and sys.stderr.isatty():
            callbacks.append(StderrProgressBar())
        else:
            kwargs["enable_progress_bar"] = False
        try:
            return super().instantiate_trainer(logger=[*loggers, *others], callbacks=callbacks + self.reports, **kwargs)
        except (MisconfigurationException, ModuleNotFoundError) as error:  # no such GPU, or no torch_xla for a TPU
            raise UsageError(f"--trainer: {' '.join(str(error).split())}") from error


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
        filename="last",  # not save_last: beside save_top_k=0 that writes nothing before the run's end
        enable_version_counter=False,  # else a second run would write last-v1.ckpt beside the old last.ckpt
    )


def _best_checkpoint(run_folder: Path, tasks: Tasks) -> ModelCheckpoint:
    """Make the callback that keeps the epoch that is best on the validation split as `checkpoints/best.ckpt`."""
    monitor, mode = tasks.monitor
    return ModelCheckpoint(
        run_folder / "checkpoints", filename="best", monitor=monitor, mode=mode, enable_version_counter=False
    )


def show(cli: EyelineTrainCLI) -> None:
    """Print the result of a run, on the first rank: a table, or JSON where it was asked for."""
    if not cli.trainer.is_global_zero:
        return
    result = dict(cli.found)
    for report in cli.reports:
        result |= report.result or {}
    if cli.config.subcommand == "fit":
        metrics = {name: float(value) for name, value in sorted(cli.trainer.callback_metrics.items())}
        result = {**metrics, "files": {**cli.checkpoints(), "logs": str(cli._folder())}}  # noqa: SLF001 - same module
    if cli._options.json:  # noqa: SLF001 - same module
        console.emit_json(result)
        return
    if "classes" in result:
        console.emit_text(table(result))
    if "suggestion" in result:
        suggestion = result["suggestion"]
        console.emit_text("the loss did not fall" if suggestion is None else f"model.optimizer.lr: {suggestion:.2g}")
    for name, path in result.get("files", {}).items():
        console.emit_text(f"{name}: {path}")
