"""`mlflow models serve`: a saved pyfunc model with a signature behind MLflow's own scoring server."""

import subprocess
from typing import Any

from benchmarks.load.processes import HOST, ServerFailed
from benchmarks.load.workload import Row, Workload
from benchmarks.servers.base import Server, Site, module


class MlflowServe(Server):
    """MLflow's scoring server with one worker in its own environment."""

    name = "mlflow"
    title = "mlflow models serve"
    requirements = ("mlflow", "uvloop", "httptools")
    path = "/invocations"
    batch_path = "/invocations"
    setup = "signature; `dataframe_split`; `predict_proba`; one OpenMP thread"

    def prepare(self, site: Site) -> None:
        """Save the pipeline as an MLflow model."""
        command = module(site, "mlflow_save", str(site.folder / "model"))
        done = subprocess.run(
            command, env=self.environ(site), cwd=site.folder, capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode:
            raise ServerFailed(f"the model could not be saved: {' '.join(done.stderr.split())[-300:]}")

    def command(self, site: Site) -> list[str]:
        """Return the command of MLflow's documentation, without an environment manager."""
        command = [site.script("mlflow"), "models", "serve", "--model-uri", str(site.folder / "model")]
        return [*command, "--env-manager", "local", "--host", HOST, "--port", str(site.port), "--workers", "1"]

    def variables(self, site: Site) -> dict[str, str]:
        """Disable telemetry, and keep the tracking store in the scratch folder."""
        return {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACKING_URI": f"sqlite:///{site.folder / 'mlflow.db'}",
        }

    def batch_body(self, rows: list[Row]) -> Any:
        """Return the rows in the split form, the fastest that MLflow reads."""
        return {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}}

    def probabilities(self, response: Any, workload: Workload) -> Any:  # noqa: ARG002
        """Return a list for each row."""
        return response["predictions"]
