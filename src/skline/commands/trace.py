"""`skline trace`: from a prediction to its model, code and data, and from a model, data or an entity to predictions."""

import argparse
from typing import TYPE_CHECKING, Any

from skline.commands import Subparsers
from skline.commands._model import accepted_digest, add_accept_option
from skline.project import given_path

if TYPE_CHECKING:
    from skline.lineage.artifacts import ArtifactStore
    from skline.registry.versions import Registry

#: Exit status when a prediction that is computed again differs from the logged one.
DIFFERENT = 10
#: Exit status when the log lacks an id.
NOT_FOUND = 1


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "trace",
        help="follow a prediction to its model, code and data, or a model to its predictions",
        description="Follow a logged prediction to its labels, model, code and data, and compute it again; or follow a "
        f"model to its predictions. Exit status of predictions: 0 if they are equal or cannot be compared, {DIFFERENT} "
        f"if one differs, {NOT_FOUND} if the log lacks an id or the command fails.",
    )
    subject = command.add_mutually_exclusive_group(required=True)
    subject.add_argument("prediction_id", nargs="?", metavar="PREDICTION_ID", help="the id that /predict returned")
    subject.add_argument(
        "--ids", type=given_path, metavar="FILE", help="table with the column prediction_id, or .txt with one id a line"
    )
    subject.add_argument(
        "--artifact",
        metavar="VERSION",
        help="number or alias of a registered version, or (the beginning of) an artifact's digest",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--no-registry", action="store_true", help="do not ask MLflow")
    add_accept_option(command)
    command.set_defaults(run=trace)


def trace(arguments: argparse.Namespace) -> int:
    """Print what the options ask for."""
    if arguments.artifact is not None:
        return _trace_artifact(arguments)
    return _trace_predictions(arguments)


def _trace_predictions(arguments: argparse.Namespace) -> int:
    """Print one prediction, or a table of several, and whether they are the same now."""
    from skline.errors import SklineError
    from skline.lineage.id_file import read_ids
    from skline.lineage.text import prediction_text, predictions_table
    from skline.lineage.trace import trace_predictions
    from skline.logs.read import require_log
    from skline.logs.settings import LogSettings

    settings = LogSettings.from_environment()
    require_log(settings)
    ids = [arguments.prediction_id] if arguments.ids is None else read_ids(arguments.ids)
    traces = trace_predictions(settings, _artifact_store(arguments), ids)
    if arguments.ids is not None:
        _print(traces if arguments.json else predictions_table(traces))
    elif (found := traces[arguments.prediction_id]) is None:
        raise SklineError(
            f"the log at {settings.redacted_database} and in {settings.partitions} has no prediction "
            f"{arguments.prediction_id!r}: it is not written yet, was deleted, or is in another log, which "
            "SKLINE_LOG__DATABASE names"
        )
    else:
        _print(found if arguments.json else prediction_text(found))
    outcomes = {None if each is None else each.recomputation.outcome for each in traces.values()}
    if "different" in outcomes:
        return DIFFERENT
    return NOT_FOUND if None in outcomes else 0


def _trace_artifact(arguments: argparse.Namespace) -> int:
    """Print what is recorded of an artifact, and its predictions."""
    from skline.lineage.artifact_trace import trace_artifact
    from skline.lineage.text import artifact_text
    from skline.logs.settings import LogSettings

    found = trace_artifact(LogSettings.from_environment(), _artifact_store(arguments), arguments.artifact)
    _print(found if arguments.json else artifact_text(found))
    return 0


def _artifact_store(arguments: argparse.Namespace) -> "ArtifactStore":
    """Return where the project has its artifacts."""
    from skline.lineage.artifacts import ArtifactStore

    registry = None if arguments.no_registry else _registry()
    return ArtifactStore(registry=registry, accepted=accepted_digest(arguments))


def _registry() -> "Registry | None":
    """Return the project's registry; None where there is none yet, or MLflow is not installed, as in the image."""
    from importlib.util import find_spec
    from pathlib import Path

    from skline import paths
    from skline.registry.versions import open_registry
    from skline.settings import Settings

    if find_spec("mlflow") is None or not paths.PARAMS.exists():
        return None
    registry = open_registry(Settings.load())
    file = registry.uri.removeprefix("sqlite:///")
    return None if file != registry.uri and not Path(file).exists() else registry


def _print(value: Any) -> None:
    """Print a text as it is, and any other value as JSON."""
    from pydantic_core import to_json

    print(value if isinstance(value, str) else to_json(value, indent=2).decode())
