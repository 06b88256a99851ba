"""This project's own server, started with its own command in an environment like the image's."""

import tomllib
from typing import Any

from benchmarks.load.processes import HOST
from benchmarks.load.workload import Row, Workload, labels
from benchmarks.servers.base import ROOT, Server, Site
from skline import api_keys

#: More requests than any client can send, so that the limit is counted but never reached.
RATE = "10000000/second"


def requirements() -> tuple[str, ...]:
    """Return the requirements of the serving image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return (*project["project"]["optional-dependencies"]["serving"], *project["project"]["dependencies"])


class Ours(Server):
    """`skline serve` with the features that the others have too: validation and metrics."""

    name = "ours"
    title = "**skline serve**"
    role = "ours"
    requirements = requirements()
    threads = None
    setup = "metrics; no API keys, no rate limit, no prediction log; everything else at its default"

    def command(self, site: Site) -> list[str]:
        """Return `skline serve`, as the image starts it."""
        return [str(site.python), "-m", "skline.cli", "serve", "--host", HOST, "--port", str(site.port)]

    def variables(self, site: Site) -> dict[str, str]:
        """Name the artifact, and disable the rate limit and the prediction log."""
        return {
            "SKLINE_ARTIFACT": str(site.workload.artifact),
            "SKLINE_ARTIFACT_DIGEST": site.workload.digest,
            "SKLINE_LIMITS__RATE": "off",
            "SKLINE_LOG__MODE": "off",
        }

    def body(self, rows: list[Row]) -> Any:
        """Return the row as a JSON object."""
        return rows[0]

    def probabilities(self, response: Any, workload: Workload) -> Any:
        """Return the probabilities of one row, or of each row of a batch."""
        predictions = response.get("predictions", [response])
        return [[each["probabilities"][label] for label in labels(workload.contract)] for each in predictions]


class OursInProduction(Ours):
    """`skline serve` with the features that a service in production uses in addition."""

    name = "ours-production"
    title = "skline serve, all features"
    setup = f"metrics, API keys, a limit of {RATE} per key, prediction log in SQLite; everything else at its default"

    def prepare(self, site: Site) -> None:
        """Create an API key for the client."""
        _, token = api_keys.add(site.folder / "keys.json", "benchmark", ["predict"])
        self.headers = {"X-API-Key": token}

    def variables(self, site: Site) -> dict[str, str]:
        """Name the artifact and the keys, and set the limit; the prediction log keeps its default, a local file."""
        return {
            "SKLINE_ARTIFACT": str(site.workload.artifact),
            "SKLINE_ARTIFACT_DIGEST": site.workload.digest,
            "SKLINE_SECURITY__KEY_FILE": str(site.folder / "keys.json"),
            "SKLINE_LIMITS__RATE": RATE,
        }
