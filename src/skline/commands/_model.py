"""The options that name a model; without one a command uses the model that `skline serve` serves."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from skline import paths

if TYPE_CHECKING:
    from skline.release.in_service import ModelSource


def add_model_options(command: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = command.add_mutually_exclusive_group()
    group.add_argument(
        "--artifact", type=Path, help="directory of an artifact (default: the release's champion, else artifact)"
    )
    group.add_argument("--version", help="number or alias of a registered version")
    group.add_argument("--arm", choices=("champion", "challenger"), help="an arm of the release")
    command.add_argument("--digest", help="sha256 of the manifest in --artifact (default: read from PATH.sha256)")


def selected_model(arguments: argparse.Namespace) -> "ModelSource":
    """Return the model that the options name.

    Raises
    ------
    SklineError
        If there is no such model, or --digest is given without --artifact.
    """
    from skline.errors import SklineError
    from skline.release.in_service import ModelSource, in_service, local_model

    if arguments.artifact is not None:
        return local_model(arguments.artifact, arguments.digest)
    if arguments.digest is not None:
        raise SklineError(f"--digest needs --artifact, such as --artifact {paths.ARTIFACT}")
    if arguments.version is None:
        return in_service(arm=arguments.arm)
    from skline.commands._releases import open_registry
    from skline.release.artifacts import ensure_artifact
    from skline.settings import Settings

    registry = open_registry(Settings.load())
    version = registry.find(arguments.version)
    digest = version.artifact_sha256
    ensure_artifact(paths.RELEASED, digest, partial(registry.download, version))
    return ModelSource(paths.RELEASED / digest, digest, version.label)
