"""`skline trace`: from a prediction to its model, code and data, and from a model, data or an entity to predictions."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skline import paths
from skline.commands import Subparsers
from skline.commands._logs import log_settings
from skline.commands._model import accepted_digest, add_accept_option
from skline.project import given_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from skline.lineage.artifacts import ArtifactStore
    from skline.logs.settings import LogSettings
    from skline.registry.versions import Registry

#: Exit status when a prediction that is computed again differs from the logged one.
DIFFERENT = 10
#: Exit status when the log lacks an id.
NOT_FOUND = 1


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "trace",
        help="follow a prediction to its model, code and data, or these to the predictions",
        description="Follow a logged prediction to its labels, model, code and data, and compute it again; or follow a "
        "model, data or an entity to the predictions. Exit status of predictions: 0 if they are equal or cannot be "
        f"compared, {DIFFERENT} if one differs, {NOT_FOUND} if the log lacks an id or the command fails.",
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
    subject.add_argument(
        "--data", type=_data, metavar="DATA", help="a file, or a sha256 or md5: models that were made from it"
    )
    subject.add_argument(
        "--forget",
        metavar="ENTITY",
        help="report the predictions, labels, data and models that an entity went into; nothing is deleted",
    )
    command.add_argument(
        "--openlineage",
        metavar="FILE|URL",
        type=_file_or_url,
        help="with --artifact: write or send the run events of the version's stages, as OpenLineage defines them",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--no-registry", action="store_true", help="do not contact MLflow")
    add_accept_option(command)
    command.set_defaults(run=trace)


def trace(arguments: argparse.Namespace) -> int:
    """Print what the options ask for."""
    log_settings(paths.REGISTERED, paths.JOURNAL, paths.ARTIFACT_DIGEST)
    if arguments.openlineage is not None:
        return _emit_events(arguments)
    if arguments.prediction_id is not None or arguments.ids is not None:
        return _trace_predictions(arguments)
    found, describe = _trace_other(arguments)
    _print(found if arguments.json else describe(found))
    return 0


def _trace_predictions(arguments: argparse.Namespace) -> int:
    """Print one prediction, or a table of several, and whether they are the same now."""
    from skline.errors import SklineError
    from skline.lineage.artifact_trace import names_artifact
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
        if names_artifact(arguments.prediction_id):
            raise SklineError(
                f"{arguments.prediction_id} is no prediction id; if it names an artifact, run "
                f"`uv run skline trace --artifact {arguments.prediction_id}`"
            )
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


def _trace_other(arguments: argparse.Namespace) -> "tuple[Any, Callable[[Any], str]]":
    """Trace an artifact, data or an entity; return the result, and the function that describes it."""
    from skline.lineage import usage_text
    from skline.lineage.artifact_trace import trace_artifact
    from skline.lineage.data_trace import trace_data
    from skline.lineage.entity_trace import trace_entity
    from skline.logs.settings import LogSettings

    log, store = _log_settings(), _artifact_store(arguments)
    if arguments.artifact is not None:
        return trace_artifact(log, store, arguments.artifact), usage_text.artifact_text
    if arguments.data is not None:
        return trace_data(log, store, arguments.data), usage_text.data_text
    settings = LogSettings.from_environment()
    return trace_entity(settings, store, arguments.forget, has_log=log is not None), usage_text.entity_text


def _emit_events(arguments: argparse.Namespace) -> int:
    """Write or send the events of a registered version's stages."""
    from skline.counting import counted
    from skline.errors import SklineError
    from skline.lineage.artifact_trace import find_digest
    from skline.lineage.openlineage_events import send_events, version_events, write_events
    from skline.redaction import redact

    if arguments.artifact is None:
        raise SklineError("--openlineage needs --artifact: the events are those of the stages that made a version")
    store = _artifact_store(arguments)
    digest = find_digest(store, arguments.artifact)
    registered = store.registered(digest)
    if not registered:
        raise SklineError(
            f"{store.releases.registered} does not list {digest[:12]}…; events are of registered versions"
        )
    events = version_events(Path(), registered[-1])
    target: str | Path = arguments.openlineage
    if isinstance(target, str):
        send_events(target, events)
    else:
        write_events(target, events)
    version = f"{registered[-1].model}/{registered[-1].version}"
    print(f"{counted(len(events), 'event')} of {version} to {redact(str(target))}")
    return 0


def _log_settings() -> "LogSettings | None":
    """Return the settings of the log; None, with a note, where there is none."""
    from skline.errors import SklineError
    from skline.logs.read import require_log
    from skline.logs.settings import LogSettings

    settings = LogSettings.from_environment()
    try:
        require_log(settings)
    except SklineError as error:
        print(f"note: {error}", file=sys.stderr)
        return None
    return settings


def _artifact_store(arguments: argparse.Namespace) -> "ArtifactStore":
    """Return the artifacts of the project, with its registry if the options need one."""
    from skline.lineage.artifacts import ArtifactStore

    needs_no_registry = arguments.no_registry or arguments.data is not None or arguments.forget is not None
    registry = None if needs_no_registry else _registry()
    return ArtifactStore(registry=registry, accepted=accepted_digest(arguments))


def _registry() -> "Registry | None":
    """Return the project's registry; None where there is none yet, or MLflow is not installed, as in the image."""
    from importlib.util import find_spec

    from skline.commands._releases import open_registry
    from skline.settings import Settings

    if find_spec("mlflow") is None or not paths.PARAMS.exists():
        return None
    registry = open_registry(Settings.load())
    file = registry.uri.removeprefix("sqlite:///")
    return None if file != registry.uri and not Path(file).exists() else registry


def _data(text: str) -> str:
    """Return a digest as it is, and the path of a file as seen from the root of the project."""
    try:
        return str(given_path(text)) if Path(text).expanduser().exists() else text
    except (OSError, RuntimeError):  # too long for a name, or ~NAME of an unknown user
        return text


def _file_or_url(text: str) -> Path | str:
    """Return a URL as it is, and the path of a file as seen from the root of the project."""
    return text if text.startswith(("http://", "https://")) else given_path(text)


def _print(value: Any) -> None:
    """Print a text as it is, and any other value as JSON."""
    from pydantic_core import to_json

    from skline.entrypoint import visible

    lines = [value] if isinstance(value, str) else map(visible, to_json(value, indent=2).decode().split("\n"))
    print(*lines, sep="\n")
