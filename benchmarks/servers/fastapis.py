"""Apps on FastAPI and uvicorn: the tutorials', vetiver's, and two references without a model."""

from typing import Any

from benchmarks.load.workload import Row, Workload, labels
from benchmarks.servers.base import Server, Site, uvicorn

FAST = ("uvicorn", "uvloop", "httptools")


class Tutorial(Server):
    """FastAPI as tutorials write it: a pydantic row, a `def` endpoint, a DataFrame, `predict_proba`."""

    requirements = ("fastapi", *FAST)

    def __init__(self, *, threads: int | None) -> None:
        self.threads = threads
        self.name = "tutorial-1t" if threads == 1 else "tutorial"
        self.title = "tutorial FastAPI app" + (", one thread" if threads == 1 else "")
        self.setup = "`def` route, pydantic row, `pd.DataFrame`, `predict_proba`" + (
            "; one OpenMP thread" if threads == 1 else ""
        )

    def command(self, site: Site) -> list[str]:
        """Return the command of one uvicorn worker."""
        return uvicorn(site, "tutorial:app")

    def body(self, rows: list[Row]) -> Any:
        """Return the row as a JSON object."""
        return rows[0]

    def probabilities(self, response: Any, workload: Workload) -> Any:  # noqa: ARG002
        """Return a list for the row, or one for each row of a batch."""
        return response["probabilities"]


class Vetiver(Server):
    """vetiver's FastAPI app, which checks rows against a prototype."""

    name = "vetiver"
    title = "vetiver"
    requirements = ("vetiver", *FAST)
    batch_path = "/predict"
    setup = "prototype checked; handler with `predict_proba`; one OpenMP thread"

    def command(self, site: Site) -> list[str]:
        """Return the command of one uvicorn worker on the API's app."""
        return uvicorn(site, "vetiver_api:app")

    def probabilities(self, response: Any, workload: Workload) -> Any:  # noqa: ARG002
        """Return a list for each row."""
        return response["predict"]


class Constant(Server):
    """FastAPI with our request and response types, and no model."""

    name = "constant"
    title = "constant FastAPI app"
    role = "reference"
    requirements = Tutorial.requirements
    batch_path = None
    setup = "`async def` route that validates the row by our request type and returns a constant of our response type"

    def command(self, site: Site) -> list[str]:
        """Return the command of one uvicorn worker."""
        return uvicorn(site, "constant:app")

    def body(self, rows: list[Row]) -> Any:
        """Return the row as a JSON object."""
        return rows[0]

    def probabilities(self, response: Any, workload: Workload) -> Any:
        """Return the constant: the probabilities of the first row."""
        return [response["probabilities"][label] for label in labels(workload.contract)]


class RawAsgi(Constant):
    """An ASGI callable that reads the body and returns fixed bytes."""

    name = "asgi"
    title = "raw ASGI on uvicorn"
    setup = "reads the body, returns fixed bytes"

    def command(self, site: Site) -> list[str]:
        """Return the command of one uvicorn worker."""
        return uvicorn(site, "raw_asgi:app")
