"""Compare `/predict/batch` as JSON with an Arrow IPC stream and with Parquet: rows a second and bytes.

Run `uv run --group bench python -m benchmarks.table_batches` after `uv run dvc repro`. Two servers with one worker
each, one without prediction log and one with it, get the same rows in the three formats in turn. Nothing is measured
unless the predictions are equal to the last bit. "Requests alone" sends bytes that are ready and parses nothing;
"processor" is the server's time, with that of the log's writer; "frame to frame" is what a client in pandas waits, from
its DataFrame to the DataFrame of predictions.
"""

import argparse
import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.checkouts import processor_seconds
from benchmarks.load.processes import HOST, free_ports, running, wait_until
from skline import artifact
from skline.artifact import Artifact
from skline.contract.frames import to_json_rows
from skline.contract.spec import Contract

ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
FORMATS = {"JSON": "application/json", "Arrow": ARROW, "Parquet": PARQUET}
LOGS = {"off": "without prediction log", "async": "with the prediction log"}
START_SECONDS = 120
#: Requests in a row of which the processor time is measured, as ticks of 10 ms.
REQUESTS = 4


def main() -> None:
    """Measure all formats, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=Path(), help="the folder with artifact/ and data/split/")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="rows of a batch")
    parser.add_argument("--rounds", type=int, default=15, help="batches of each format and server")
    options = parser.parse_args()
    contract = Artifact.open(options.project / "artifact", digest(options.project)).contract
    frame = pd.read_parquet(options.project / "data/split/test.parquet", columns=contract.input_names)
    print(
        "| | rows | format | requests alone, rows/s | × JSON | processor, ms | × JSON | frame to frame, rows/s | "
        "× JSON | bytes sent | bytes received |\n|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    for mode, title in LOGS.items():
        for count in options.rows:
            rows = frame.sample(count, random_state=0, ignore_index=True, replace=count > len(frame))
            for line in measure_server(options.project, mode, contract, rows, options.rounds):
                print(f"| {title} | {count:,} {line}", flush=True)


def digest(project: Path) -> str:
    """Return the digest of the project's artifact."""
    return artifact.read_digest(project / "artifact.sha256")


def serialize(name: str, contract: Contract, frame: pd.DataFrame) -> bytes:
    """Return the rows in a format."""
    if name == "JSON":
        return orjson.dumps(to_json_rows(contract.inputs, frame))
    table, sink = pa.Table.from_pandas(frame, preserve_index=False), io.BytesIO()
    if name == "Parquet":
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


def parse(answer: httpx.Response) -> pd.DataFrame:
    """Return the predictions as a DataFrame."""
    kind = answer.headers["content-type"]
    if kind == ARROW:
        table = pa.ipc.open_stream(answer.content).read_all()
        return pd.DataFrame(table.flatten().to_pandas())
    if kind == PARQUET:
        table = pq.read_table(io.BytesIO(answer.content))
        return pd.DataFrame(table.flatten().to_pandas())
    rows = orjson.loads(answer.content)["predictions"]
    by_class = pd.DataFrame([row["probabilities"] for row in rows]).add_prefix("probabilities.")
    others = pd.DataFrame(
        {name: [row[name] for row in rows] for name in ("prediction", "model_version", "prediction_id")}
    )
    return pd.concat([others, by_class], axis="columns")


def measure_server(project: Path, mode: str, contract: Contract, frame: pd.DataFrame, rounds: int) -> list[str]:
    """Run a server, and return a line of the table for each format."""
    [port] = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "SKLINE_ARTIFACT": str((project / "artifact").resolve()),
            "SKLINE_ARTIFACT_DIGEST": digest(project),
            "SKLINE_LIMITS__RATE": "off",
            "SKLINE_MAX_BATCH_ROWS": str(len(frame)),
            "SKLINE_MAX_BODY_BYTES": str(1 << 26),
            "SKLINE_LOG__QUEUE_ROWS": str(10 * len(frame)),
            "SKLINE_LOG__MODE": mode,
            "SKLINE_LOG__DATABASE": f"{folder}/log.db",
            "SKLINE_LOG__PARTITIONS": f"{folder}/days",
        }
        command = [sys.executable, "-m", "skline.cli", "serve", "--host", HOST, "--port", str(port)]
        log, started = Path(folder) / "server.log", time.perf_counter()
        with (
            running(command, environment, Path.cwd(), log) as process,
            httpx.Client(base_url=f"http://{HOST}:{port}", timeout=60) as client,
        ):
            wait_until(lambda: is_ready(client), process, started, START_SECONDS, log)
            return measure(client, process.pid, contract, frame, rounds)


def is_ready(client: httpx.Client) -> bool:
    """Return whether the server predicts."""
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def measure(client: httpx.Client, pid: int, contract: Contract, frame: pd.DataFrame, rounds: int) -> list[str]:
    """Send every format in turn."""
    bodies = {name: serialize(name, contract, frame) for name in FORMATS}
    answers = {name: post(client, name, body) for name, body in bodies.items()}  # a warm-up as well
    verify(answers)
    times: dict[str, list[list[float]]] = {name: [[], [], []] for name in FORMATS}
    for _ in range(rounds):
        for name, body in bodies.items():
            used, alone = processor_seconds(pid), 0.0
            for _ in range(REQUESTS):
                started = time.perf_counter()
                post(client, name, body)
                alone += time.perf_counter() - started
                empty_queue(client)
            times[name][0].append(alone / REQUESTS)
            times[name][1].append((processor_seconds(pid) - used) / REQUESTS)
            started = time.perf_counter()
            parse(post(client, name, serialize(name, contract, frame)))
            times[name][2].append(time.perf_counter() - started)
            empty_queue(client)
    assert metric(client, 'skline_log_rows_total{outcome="dropped"}') == 0
    lines = []
    for name in FORMATS:
        alone, processor, whole = map(statistics.median, times[name])
        by_alone, by_processor, by_whole = (
            statistics.median(json / other for json, other in zip(by_json, mine, strict=True))
            for by_json, mine in zip(times["JSON"], times[name], strict=True)
        )
        lines.append(
            f"| {name} | {len(frame) / alone:,.0f} | {by_alone:.1f} | {processor * 1e3:.0f} | {by_processor:.1f} | "
            f"{len(frame) / whole:,.0f} | {by_whole:.1f} | {len(bodies[name]):,} | {len(answers[name].content):,} |"
        )
    return lines


def verify(answers: dict[str, httpx.Response]) -> None:
    """Fail unless all formats give the same predictions, to the last bit."""
    frames = {name: parse(answer).drop(columns="prediction_id") for name, answer in answers.items()}
    for name, frame in frames.items():
        for column in frames["JSON"].columns:
            ours, theirs = frame[column].to_numpy(), frames["JSON"][column].to_numpy()
            if ours.dtype.kind == "f":
                ours, theirs = ours.view(np.int64), theirs.view(np.int64)
            assert np.array_equal(ours, theirs), (name, column)


def post(client: httpx.Client, name: str, body: bytes) -> httpx.Response:
    """Send a batch; an error ends the benchmark."""
    return client.post("/predict/batch", content=body, headers={"content-type": FORMATS[name]}).raise_for_status()


def empty_queue(client: httpx.Client) -> None:
    """Wait until the log's writer has written all rows."""
    while metric(client, 'skline_queue_length{queue="log"}'):
        time.sleep(0.1)


def metric(client: httpx.Client, name: str) -> float:
    """Return the value of a metric; 0 if there is none."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} "))


if __name__ == "__main__":
    main()
