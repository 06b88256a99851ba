"""MLServer with its scikit-learn runtime and the V2 protocol, with and without adaptive batching."""

import json
from typing import Any

import numpy as np

from benchmarks.load.processes import HOST
from benchmarks.load.workload import Row, Workload
from benchmarks.servers.base import Server, Site

#: Python type of a JSON value → the protocol's datatype.
DATATYPES = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES", type(None): "FP64"}
#: Contract kind → what its BYTES hold.
CONTENT = {"string": "str", "date": "datetime", "datetime": "datetime"}


class MlServer(Server):
    """MLServer in one process; with batching, concurrent requests are merged column by column."""

    requirements = ("mlserver", "mlserver-sklearn")
    path = "/v2/models/pipeline/infer"
    batch_path = path

    def __init__(self, *, batching: bool) -> None:
        self.batching = {"max_batch_size": 64, "max_batch_time": 0.02} if batching else {}
        self.name = "mlserver-batching" if batching else "mlserver"
        self.title = "MLServer, adaptive batching" if batching else "MLServer"
        waits = "".join(f"`{name}={value}`, " for name, value in self.batching.items())
        self.setup = f"{waits}`parallel_workers=0`; `predict_proba`; one OpenMP thread"
        self._content: dict[str, str] = {}

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
        self._content = {c.name: CONTENT[c.kind] for c in site.workload.contract.inputs if c.kind in CONTENT}

    def command(self, site: Site) -> list[str]:
        """`mlserver start` on the folder with the settings."""
        return [site.script("mlserver"), "start", str(site.folder)]

    def batch_body(self, rows: list[Row]) -> Any:
        """One tensor a column."""
        return {"parameters": {"content_type": "pd"}, "inputs": [self._tensor(name, rows) for name in rows[0]]}

    def _tensor(self, name: str, rows: list[Row]) -> dict[str, Any]:
        values = [row[name] for row in rows]
        tensor: dict[str, Any] = {"name": name, "shape": [len(rows), 1], "datatype": DATATYPES[type(values[0])]}
        if name in self._content:
            tensor["parameters"] = {"content_type": self._content[name]}
        return tensor | {"data": values}

    def probabilities(self, answer: Any, workload: Workload) -> Any:  # noqa: ARG002
        """One flat tensor with its shape."""
        output = answer["outputs"][0]
        return np.reshape(output["data"], output["shape"])
