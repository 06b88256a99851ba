"""LitServe around the pipeline: `python -m benchmarks.apps.litserve_api MAX_BATCH_SIZE BATCH_TIMEOUT QUEUE`."""

import os
import sys
from itertools import chain
from typing import Any

import litserve

from benchmarks.apps.rows import load_pipeline, probabilities, row_type

Row = row_type()
Rows = list[Any]


class Pipeline(litserve.LitAPI):
    """Each request is a list of rows; a batch is the rows of several requests."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load the pipeline in the inference process."""
        self.pipeline = load_pipeline()

    def decode_request(self, request: Rows) -> Rows:
        """Validate the rows of one request."""
        return [Row.model_validate(row) for row in request]

    def predict(self, x: Rows) -> list[list[float]]:
        """Score the rows of one request."""
        return probabilities(self.pipeline, x)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Return the probabilities as a JSON object."""
        return {"probabilities": output}


class BatchedPipeline(Pipeline):
    """Scores the rows of all requests at once, and returns to each request its own."""

    def batch(self, inputs: list[Rows]) -> list[Rows]:
        """Return the requests as they are, so that `predict` knows the rows of each."""
        return inputs

    def predict(self, x: list[Rows]) -> list[list[list[float]]]:
        """Score several requests together."""
        scored = iter(probabilities(self.pipeline, list(chain.from_iterable(x))))
        return [[next(scored) for _ in rows] for rows in x]

    def unbatch(self, output: list[Any]) -> list[Any]:
        """Return the list of responses, one for each request."""
        return output


def main() -> None:
    """Serve on loopback until stopped."""
    size, timeout = int(sys.argv[1]), float(sys.argv[2])
    api = BatchedPipeline(max_batch_size=size, batch_timeout=timeout) if size > 1 else Pipeline()
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=sys.argv[3] == "fast")
    port = int(os.environ["BENCHMARK_PORT"])
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
