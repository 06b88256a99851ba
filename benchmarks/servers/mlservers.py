"""MLServer with its scikit-learn runtime and the V2 protocol, with and without adaptive batching."""

import json
from typing import Any

import numpy as np

from benchmarks.load.processes import HOST
from benchmarks.load.workload import Row, Workload
from benchmarks.servers.base import Server, Site
from skline.contract.spec import Column

#: Contract kind → datatype of the protocol; nullable columns are sent as FP64, in which null is NaN.
DATATYPES = {"boolean": "BOOL", "integer": "INT64", "number": "FP64"}
#: Contract kind → content type of its BYTES.
CONTENT = {"string": "str", "date": "datetime", "datetime": "datetime"}


class MlServer(Server):
    """MLServer in one process; with `batching`, (rows, seconds), concurrent requests are merged column by column."""

    requirements = ("mlserver", "mlserver-sklearn")
    path = "/v2/models/pipeline/infer"
    batch_path = path

    def __init__(self, batching: tuple[int, float] | None = None) -> None:
        self.batching = dict(zip(("max_batch_size", "max_batch_time"), batching or (), strict=False))
        self.name = "mlserver-batching" if batching else "mlserver"
        self.title = "MLServer, adaptive batching" if batching else "MLServer"
        waits = "".join(f"`{name}={value}`, " for name, value in self.batching.items())
        self.setup = f"{waits}`parallel_workers=0`; `predict_proba`; one OpenMP thread"
        self._columns: tuple[Column, ...] = ()

    def prepare(self, site: Site) -> None:
        """Write the server's and the model's settings."""
        settings = {
            "debug": False,
            "host": HOST,
            "http_port": site.port,
            "grpc_port": site.second_port,
            "metrics_port": site.third_port,
            "metrics_endpoint": None,
            "parallel_workers": 0,
            "gzip_enabled": False,
        }
        model = {
            "name": "pipeline",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {
                "uri": str(site.workload.folder / "pipeline.joblib"),
                "content_type": "pd",
                "extra": {"predict_fn": "predict_proba"},
            },
        }
        (site.folder / "settings.json").write_text(json.dumps(settings))
        (site.folder / "model-settings.json").write_text(json.dumps(model | self.batching))
        self._columns = site.workload.contract.inputs

    def command(self, site: Site) -> list[str]:
        """Return `mlserver start` on the folder with the settings."""
        return [site.script("mlserver"), "start", str(site.folder)]

    def batch_body(self, rows: list[Row]) -> Any:
        """Return one tensor for each column."""
        return {"parameters": {"content_type": "pd"}, "inputs": [tensor(c, rows) for c in self._columns]}

    def probabilities(self, response: Any, workload: Workload) -> Any:  # noqa: ARG002
        """Reshape the flat tensor of the response."""
        output = response["outputs"][0]
        return np.reshape(output["data"], output["shape"])


def tensor(column: Column, rows: list[Row]) -> dict[str, Any]:
    """Return one column of the rows as a tensor of the protocol."""
    if column.kind in CONTENT:
        form: dict[str, Any] = {"datatype": "BYTES", "parameters": {"content_type": CONTENT[column.kind]}}
    else:
        form = {"datatype": "FP64" if column.nullable else DATATYPES[column.kind]}
    return {"name": column.name, "shape": [len(rows), 1], "data": [row[column.name] for row in rows]} | form
