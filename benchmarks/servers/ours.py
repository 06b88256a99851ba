"""This project's own server, started with its own command in an environment like the image's."""

import tomllib
from typing import Any

from benchmarks.load.processes import HOST
from benchmarks.load.workload import Row, Workload, labels
from benchmarks.servers.base import ROOT, Server, Site

#: Everything that a service in production has switched on belongs here, as SKLINE_… = value.
SETTINGS: dict[str, str] = {}
#: What a caller of such a service sends with each request, its API key for instance.
HEADERS: dict[str, str] = {}


def requirements() -> tuple[str, ...]:
    """What the serving image installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return (*project["dependency-groups"]["serving"], *project["project"]["dependencies"])


class Ours(Server):
    """`skline serve` with its defaults and SETTINGS."""

    name = "ours"
    title = "**skline serve**"
    role = "ours"
    requirements = requirements()
    threads = None
    headers = HEADERS
    setup = "its defaults" + "".join(f", `{name}={value}`" for name, value in SETTINGS.items())

    def command(self, site: Site) -> list[str]:
        """`skline serve`, as the image starts it."""
        return [str(site.python), "-m", "skline.cli", "serve", "--host", HOST, "--port", str(site.port)]

    def variables(self, site: Site) -> dict[str, str]:
        """Which artifact to serve, and SETTINGS."""
        artifact = {"SKLINE_ARTIFACT": str(site.workload.artifact), "SKLINE_ARTIFACT_DIGEST": site.workload.digest}
        return artifact | SETTINGS

    def body(self, rows: list[Row]) -> Any:
        """One JSON object."""
        return rows[0]

    def probabilities(self, answer: Any, workload: Workload) -> Any:
        """By label, for one row or for each of a batch."""
        answers = answer.get("predictions", [answer])
        return [[each["probabilities"][label] for label in labels(workload.contract)] for each in answers]
