"""`skline stage`: run one stage of the pipeline, as dvc.yaml does."""

import argparse
import gc
import importlib
import os

from skline.commands import Subparsers
from skline.project import require_project
from skline.stages import STAGES


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "stage",
        help="run one stage of the pipeline, as `dvc repro` does",
        description="Run one stage of the pipeline in the current folder. `dvc repro` calls this for each stage.",
    )
    command.add_argument("name", choices=STAGES, help="the stage")
    command.set_defaults(run=stage)


def stage(arguments: argparse.Namespace) -> None:
    """Run the stage.

    Raises
    ------
    SklineError
        If engine.json records another engine for this stage.
    """
    # A stage reads, computes, writes and ends. Without garbage collection the nine stages take 6 % less processor time,
    # most of it during imports (docs/decisions/0008-stages-are-processes.md).
    gc.disable()
    require_project()
    from skline import engine
    from skline.child import end_with_parent

    if "DVC_STAGE" in os.environ:  # set by DVC
        end_with_parent()
    engine.require_recorded(arguments.name)
    importlib.import_module(f"skline.stages.{arguments.name}").main()
