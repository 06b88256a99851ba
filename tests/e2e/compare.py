"""Compare a running service with the packaged pipeline, bit for bit.

`python -m tests.e2e.compare URL [ROWS] [--one-by-one]`; SKLINE_KEY holds an API key if one is needed.
"""

import json
import os
import struct
import sys
import urllib.request
from typing import Any

import numpy as np
import pandas as pd

from skline import paths
from skline.artifact import Artifact, read_digest
from skline.contract.frames import to_frame, to_json_rows
from skline.scoring.golden import read_rows
from skline.scoring.reference import score_frame


def unseen() -> pd.DataFrame:
    """Rows that the pipeline was not fitted on: the live part, or the test part where none is kept for replay."""
    live = pd.read_parquet(paths.part("live"))
    return live if len(live) else pd.read_parquet(paths.part("test"))


def rows_to_ask(artifact: Artifact, real: pd.DataFrame, n_rows: int) -> list[dict[str, Any]]:
    """Real rows, with a missing value in every seventh and, by turns, the golden rows with unseen categories."""
    inputs = artifact.contract.inputs
    frame = real[artifact.contract.input_names].iloc[:n_rows].copy()
    for column in inputs:
        if column.nullable and column.storage == "float64":
            frame[column.name] = frame[column.name].astype("float64").where(np.arange(len(frame)) % 7 != 0)
    rows: list[dict[str, Any]] = to_json_rows(inputs, frame)
    golden = artifact.golden.rows
    rows[::11] = [golden[index % len(golden)] for index in range(len(rows[::11]))]
    return rows


def ask(url: str, body: Any) -> Any:
    """POST JSON and return the answer."""
    headers = {"Content-Type": "application/json", "X-API-Key": os.environ.get("SKLINE_KEY", "")}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as response:
        return json.load(response)


def numbers_of(answer: dict[str, Any]) -> list[float]:
    """A classifier's probabilities, in the order of its classes; a regression's one number."""
    return list(answer["probabilities"].values()) if "probabilities" in answer else [answer["prediction"]]


def differences(expected: list[list[float]], answers: list[dict[str, Any]]) -> int:
    """How many answers differ in a bit."""

    def bits(numbers: list[float]) -> bytes:
        return struct.pack(f"{len(numbers)}d", *numbers)

    return sum(bits(numbers) != bits(numbers_of(answer)) for numbers, answer in zip(expected, answers, strict=True))


def main() -> None:
    """Ask the service and say how many answers differ; status 1 if any does."""
    url, n_rows = sys.argv[1].rstrip("/"), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    artifact = Artifact.open(paths.ARTIFACT, read_digest(paths.ARTIFACT_DIGEST))
    rows = rows_to_ask(artifact, unseen(), n_rows)
    pipeline = artifact.load_pipeline()
    frame = to_frame(artifact.contract.inputs, read_rows(artifact.contract, rows))
    scores = score_frame(pipeline, frame)
    expected = scores.predictions.reshape(-1, 1) if scores.probabilities is None else scores.probabilities
    if "--one-by-one" in sys.argv:
        answers = [ask(f"{url}/predict", row) for row in rows]
    else:
        answers = ask(f"{url}/predict/batch", rows)["predictions"]
    different = differences(expected.tolist(), answers)
    print(f"{len(rows)} rows, {different} answers differ")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
