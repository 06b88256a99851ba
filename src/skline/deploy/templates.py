"""The templates of deployment files, and how they become files of a project.

A template is a file below `templates/`; its place there is its place in the project. Two words are replaced: the name
of the project, and the alert rules, which Kubernetes needs inside a resource.
"""

import re
import textwrap
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path, PurePosixPath

from skline.errors import SklineError
from skline.files import atomic_write

#: Kind → folders of templates, and the folder of the project that each of them goes to.
KINDS: dict[str, tuple[tuple[str, str], ...]] = {
    "compose": (("compose", "deploy"), ("monitoring", "deploy"), ("proxy", "deploy/proxy")),
    "k8s": (("k8s", "deploy/k8s"),),
    "github": (("github", "."), ("ci", "deploy")),
    "gitlab": (("gitlab", "."), ("ci", "deploy")),
    "proxy": (("proxy", "deploy/proxy"),),
}
NAME, RULES = "__NAME__", "__RULES__"
RULES_FILE = "monitoring/prometheus/rules.yml"
#: Names of containers and of Kubernetes' objects.
MAX_NAME_LENGTH = 40


def deployment_name(project: str) -> str:
    """Return the name of a project as containers and Kubernetes' objects may have it.

    Raises
    ------
    SklineError
        If nothing is left of it.
    """
    name = re.sub(r"[^a-z0-9]+", "-", project.lower())[:MAX_NAME_LENGTH].strip("-")
    if not name or not name[0].isalpha():
        raise SklineError(f"project.name is {project!r}; a deployment needs a name that begins with a letter")
    return name


def render(kind: str, project: str) -> dict[PurePosixPath, str]:
    """Return the files of a kind of deployment by their paths in the project named `project`."""
    name, root = deployment_name(project), Path(str(files("skline.deploy") / "templates"))
    rules = textwrap.indent((root / RULES_FILE).read_text(encoding="utf-8"), "  ")
    rendered = {}
    for folder, destination in KINDS[kind]:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file():
                text = path.read_text(encoding="utf-8").replace(NAME, name).replace(f"  {RULES}\n", rules)
                rendered[PurePosixPath(destination) / path.relative_to(root / folder).as_posix()] = text
    return rendered


def different_files(root: Path, rendered: Mapping[PurePosixPath, str]) -> list[PurePosixPath]:
    """Return the files that exist below `root` with another content."""
    return [
        path
        for path, text in rendered.items()
        if (root / path).exists() and (root / path).read_bytes() != text.encode()
    ]


def write_files(root: Path, rendered: Mapping[PurePosixPath, str]) -> list[PurePosixPath]:
    """Write the files that `root` lacks or has with another content; return their paths. Scripts are executable."""
    written = []
    for path, text in rendered.items():
        target = root / path
        if target.exists() and target.read_bytes() == text.encode():
            continue
        with atomic_write(target, 0o755 if text.startswith("#!") else 0o644) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
    return written
