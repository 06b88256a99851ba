"""This project's own server, started with its own command in an environment like the image's."""

import tomllib
from typing import Any

from benchmarks.load.processes import HOST
from benchmarks.load.workload import Row, Workload, labels
from benchmarks.servers.base import ROOT, Server, Site
from skline import keys

#: No one caller may ask so much in earnest; the limit is counted all the same.
RATE = "10000000/second"


def requirements() -> tuple[str, ...]:
    """What the serving image installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return (*project["dependency-groups"]["serving"], *project["project"]["dependencies"])


class Ours(Server):
    """`skline serve` with what the others do too: it validates and measures."""

    name = "ours"
    title = "**skline serve**"
    role = "ours"
    requirements = requirements()
    threads = None
    setup = "metrics; no API keys, no rate limit, no prediction log; all else its defaults"

    def command(self, site: Site) -> list[str]:
        """`skline serve`, as the image starts it."""
        return [str(site.python), "-m", "skline.cli", "serve", "--host", HOST, "--port", str(site.port)]

    def variables(self, site: Site) -> dict[str, str]:
        """Which artifact to serve; its logs go into the scratch folder, where it runs."""
        return {
            "SKLINE_ARTIFACT": str(site.workload.artifact),
            "SKLINE_ARTIFACT_DIGEST": site.workload.digest,
            "SKLINE_LIMITS__RATE": "off",
            "SKLINE_LOG__MODE": "off",
        }

    def body(self, rows: list[Row]) -> Any:
        """One JSON object."""
        return rows[0]

    def probabilities(self, answer: Any, workload: Workload) -> Any:
        """By label, for one row or for each of a batch."""
        answers = answer.get("predictions", [answer])
        return [[each["probabilities"][label] for label in labels(workload.contract)] for each in answers]


class OursInProduction(Ours):
    """`skline serve` with what a service in production has switched on besides."""

    name = "ours-production"
    title = "skline serve, all on"
    setup = f"metrics, API keys, a limit of {RATE} a key, prediction log in SQLite; all else its defaults"

    def prepare(self, site: Site) -> None:
        """Make a key for the callers."""
        _, token = keys.add(site.folder / "keys.json", "benchmark", ["predict"])
        self.headers = {"X-API-Key": token}

    def variables(self, site: Site) -> dict[str, str]:
        """As before, with keys, a limit, and a log in the scratch folder, where it runs."""
        return {
            "SKLINE_ARTIFACT": str(site.workload.artifact),
            "SKLINE_ARTIFACT_DIGEST": site.workload.digest,
            "SKLINE_SECURITY__KEY_FILE": str(site.folder / "keys.json"),
            "SKLINE_LIMITS__RATE": RATE,
        }
