"""BentoML: a service class of one worker, with and without adaptive batching."""

from typing import Any

from benchmarks.load.processes import HOST
from benchmarks.load.workload import Row, Workload
from benchmarks.servers.base import APPS, Server, Site


class BentoMl(Server):
    """A BentoML service; with `batching`, (rows, milliseconds), its dispatcher merges concurrent requests."""

    requirements = ("bentoml", "uvloop", "httptools")
    batch_path = "/predict_batch"

    def __init__(self, batching: tuple[int, int] | None = None) -> None:
        self.batching = batching
        self.name = "bentoml-batching" if batching else "bentoml"
        self.title = "BentoML, adaptive batching" if batching else "BentoML"
        waits = "`max_batch_size={}`, `max_latency_ms={}`; ".format(*batching) if batching else ""
        self.setup = f"{waits}pydantic rows; no metrics, tracing or access log; one OpenMP thread"

    def command(self, site: Site) -> list[str]:
        """Return `bentoml serve` with the import path of the service."""
        service = f"{APPS}.bentoml_service:{'Batching' if self.batching else 'Plain'}"
        return [site.script("bentoml"), "serve", service, "--host", HOST, "--port", str(site.port)]

    def variables(self, site: Site) -> dict[str, str]:
        """Disable usage statistics, and keep the store in the scratch folder."""
        rows, milliseconds = self.batching or (2, 1000)
        return {
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str(site.folder / "bentoml"),
            "BENCHMARK_BATCH": str(rows),
            "BENCHMARK_WAIT_MS": str(milliseconds),
        }

    def body(self, rows: list[Row]) -> Any:
        """Return the row by the name of the method's argument; a batchable method takes a list."""
        return {"rows": rows} if self.batching else {"row": rows[0]}

    def batch_body(self, rows: list[Row]) -> Any:
        """Return the rows by the name of the method's argument."""
        return {"rows": rows}

    def probabilities(self, response: Any, workload: Workload) -> Any:  # noqa: ARG002
        """Return the response: one list for each row, or the list of the only row."""
        return response
