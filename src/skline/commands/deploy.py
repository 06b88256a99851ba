"""`skline deploy init | secrets`: deployment files of the project."""

import argparse

from skline.commands import Subparsers
from skline.errors import SklineError

#: What `skline deploy init` says at the end, by kind.
NEXT = {
    "compose": "next, on the server: skline deploy secrets; docs/compose.md of skline has the further steps",
    "k8s": "next: set images, hosts and addresses in deploy/k8s; docs/kubernetes.md of skline has the further steps",
    "github": "next: docs/workflows.md of skline says which secrets, variables and environments they need",
    "gitlab": "next: docs/workflows.md of skline says which variables, schedules and environments they need",
    "proxy": "next: set addresses and certificates; docs/security.md of skline says what a proxy has to pass on",
}


def add_parser(commands: Subparsers) -> None:
    """Declare the command and its actions."""
    group = commands.add_parser("deploy", help="write deployment files, which belong to the project from then on")
    actions = group.add_subparsers(title="actions", required=True, metavar="ACTION")
    action = actions.add_parser(
        "init",
        help="write the files of a kind of deployment",
        description="Write the files of a kind of deployment into deploy/, .github/workflows or .gitlab-ci.yml: "
        "compose (everything on one server), k8s (Kubernetes, by kustomize), github (workflows that monitor, retrain "
        "and release, and Dependabot), gitlab (the same in GitLab CI), proxy (nginx, Caddy, HAProxy). They belong to "
        "the project: edit them, and commit.",
    )
    action.add_argument("kind", choices=sorted(NEXT), metavar="KIND", help="compose, k8s, github, gitlab or proxy")
    action.add_argument("--force", action="store_true", help="replace files that differ")
    action.set_defaults(run=init)
    action = actions.add_parser(
        "secrets",
        help="write the secrets of deploy/compose.yaml that are missing",
        description="Write random passwords and keys into deploy/secrets, which git ignores, for the containers of "
        "deploy/compose.yaml. Existing files are never changed.",
    )
    action.set_defaults(run=secrets)


def init(arguments: argparse.Namespace) -> None:
    """Write the files and print their names.

    Raises
    ------
    SklineError
        If a file exists with another content, without --force; then nothing is written.
    """
    from pathlib import Path

    from skline.deploy import templates
    from skline.project import require_project
    from skline.settings import Settings

    require_project()
    rendered, root = templates.render(arguments.kind, Settings.load().project.name), Path()
    different = templates.different_files(root, rendered)
    if different and not arguments.force:
        raise SklineError(
            f"these files exist with another content: {', '.join(map(str, different))}; nothing was written. Use "
            "--force to replace them (commit them first)"
        )
    written = templates.write_files(root, rendered)
    for path in written:
        print(path)
    print(f"{len(written)} of {len(rendered)} files written; {NEXT[arguments.kind]}")


def secrets(_: argparse.Namespace) -> None:
    """Write the secrets that are missing, and print their names."""
    from pathlib import Path

    from skline.deploy.secrets import FOLDER, ensure_secrets
    from skline.project import require_project

    require_project()
    written = ensure_secrets(Path())
    for path in written:
        print(path)
    print(f"{len(written)} secrets written to {FOLDER}; existing ones were not changed")
