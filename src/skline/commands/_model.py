"""The options that name a model; without one a command uses the model that `skline serve` serves."""

import argparse
from typing import TYPE_CHECKING

from skline import paths
from skline.project import given_path, require_project

if TYPE_CHECKING:
    from skline.artifact import Artifact
    from skline.registry.versions import Version
    from skline.release.in_service import ModelSource


def add_model_options(command: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = command.add_mutually_exclusive_group()
    group.add_argument(
        "--artifact", type=given_path, help="directory of an artifact (default: the release's champion, else artifact)"
    )
    group.add_argument("--version", help="number or alias of a registered version")
    group.add_argument("--arm", choices=("champion", "challenger"), help="an arm of the release")
    add_accept_option(command)
    command.add_argument("--digest", help="sha256 of the manifest in --artifact (default: read from PATH.sha256)")


def add_accept_option(command: argparse.ArgumentParser) -> None:
    """Declare the option with which a person vouches for the digest of a registered version."""
    command.add_argument(
        "--accept-digest",
        metavar="SHA256",
        help=f"digest that the version must have, if {paths.REGISTERED} does not list it",
    )


def accepted_digest(arguments: argparse.Namespace) -> str | None:
    """Return the digest that a person accepts, if one is given; SklineError if it is no digest."""
    from skline.release.registered import parse_digest

    return None if arguments.accept_digest is None else parse_digest(arguments.accept_digest)


def selected_model(arguments: argparse.Namespace) -> "ModelSource":
    """Return the model that the options name.

    Raises
    ------
    SklineError
        If there is no such model, or --digest is given without --artifact, or --accept-digest without --version.
    """
    from skline.errors import SklineError
    from skline.release.in_service import ModelSource, in_service, local_model

    if arguments.artifact is not None:
        return local_model(arguments.artifact, arguments.digest)
    if arguments.digest is not None:
        raise SklineError(f"--digest needs --artifact, such as --artifact {paths.ARTIFACT}")
    if arguments.version is None:
        if arguments.accept_digest is not None:
            raise SklineError("--accept-digest needs --version: it is the digest of a registered version")
        require_model_in_service()
        return in_service(arm=arguments.arm)
    version, artifact = fetch_registered(arguments.version, accepted_digest(arguments))
    return ModelSource(paths.RELEASED / artifact.digest, artifact.digest, version.label)


def require_model_in_service() -> None:
    """Raise SklineError unless the current folder is a project, or has a release or an artifact of its own."""
    require_project(paths.RELEASE, paths.ARTIFACT_DIGEST)


def fetch_registered(requested: str | None, accepted: str | None) -> "tuple[Version, Artifact]":
    """Return a registered version and its artifact, which is fetched if it is not there."""
    from skline.commands._releases import open_registry
    from skline.release.fetching import fetch_version
    from skline.settings import Settings

    require_project(paths.PARAMS)
    return fetch_version(open_registry(Settings.load()), requested, paths.REGISTERED, paths.RELEASED, accepted)
