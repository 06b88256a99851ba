"""Measure `skline stream` from topic to topic beside `skline score` on Parquet, and kill it twice.

`uv run --group kafka python -m benchmarks.streaming [--rows N] [--rounds N]`. The broker is Tansu, in memory, on the
same machine. Both score the repeated flights of the demo, on one core each, in interleaved rounds. Then a stream is
killed with SIGKILL after a quarter and after half of the predictions, and its predictions are counted. Writes
docs/benchmarks/streaming.md. Needs data/validated and artifact/, which `dvc repro` makes.
"""

import argparse
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Consumer, Producer, TopicPartition

from skline import paths
from skline.artifact import Artifact, read_digest
from skline.files import write_text
from tests.fixtures.tansu import create_topics, tansu

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks" / "streaming.md"
PARTITIONS = 4
SESSION_MS = 6_000
CORE = "0"


@dataclass(frozen=True)
class Measurement:
    """One run: wall time and processor time, in seconds."""

    wall: float
    processor: float


def main() -> None:
    """Run all, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "rows.parquet"
        write_rows(table, arguments.rows)
        score, stream, logged = [], [], []
        with tansu() as servers:
            create_topics(servers, rows=PARTITIONS, predictions=PARTITIONS, rejected=1)
            produce_rows(servers, table)
            for number in range(arguments.rounds):
                score.append(run([*skline("score"), str(table), "--out", f"{folder}/scores.parquet", "--jobs", "1"]))
                stream.append(run(stream_command(servers, f"round-{number}"), log_environment("off", folder)))
                logged.append(run(stream_command(servers, f"logged-{number}"), log_environment("async", folder)))
                print(score[-1], stream[-1], logged[-1], sep="\n", flush=True)
            drill = kill_twice(servers, arguments.rows)
        write_text(PAGE, render(arguments.rows, arguments.rounds, score, stream, logged, drill))


def skline(command: str) -> list[str]:
    """Return the beginning of a command, which runs on one core."""
    return ["taskset", "-c", CORE, sys.executable, "-m", "skline.cli", command]


def stream_command(servers: str, group: str, *options: str) -> list[str]:
    """Return the command of a member that ends at the end of the topic."""
    return [*skline("stream"), f"kafka://{servers}/rows", "--to", "predictions", "--rejected", "rejected", "--group",
            group, "--once", *options]  # fmt: skip


def write_rows(path: Path, count: int) -> None:
    """Write the inputs of the validated flights, repeated, with the number of each row."""
    contract = Artifact.open(paths.ARTIFACT, read_digest(paths.ARTIFACT_DIGEST)).contract
    table = pq.read_table("data/validated/table.parquet", columns=contract.input_names)
    repeated = pa.concat_tables([table] * (count // table.num_rows + 1)).slice(0, count)
    pq.write_table(repeated.append_column("number", pa.array(range(count))), path)


def produce_rows(servers: str, path: Path) -> None:
    """Write each row as a JSON object; they go round the partitions."""
    producer = Producer({"bootstrap.servers": servers, "compression.type": "lz4", "linger.ms": 50, "log_level": 0})
    last: list[tuple[int, str]] = []
    for batch in pq.ParquetFile(path).iter_batches(10_000):
        rows = [(row["number"] % PARTITIONS, json.dumps(row, default=str)) for row in batch.to_pylist()]
        for partition, value in last + rows[:-PARTITIONS]:
            producer.produce("rows", value=value, partition=partition)
        last = rows[-PARTITIONS:]
        assert producer.flush(60) == 0
    for partition, value in last:  # each in a batch of its own: the broker takes the beginning of a batch for its end
        producer.produce("rows", value=value, partition=partition)
    assert producer.flush(60) == 0


def run(command: list[str], variables: Mapping[str, str] | None = None) -> Measurement:
    """Run a command with further variables of the environment, and measure it."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment() | dict(variables or {})
    )
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    return Measurement(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def environment() -> dict[str, str]:
    """Return the environment of a member without a log: the group notices its end soon."""
    return os.environ | {"SKLINE_KAFKA__SESSION_TIMEOUT_MS": str(SESSION_MS), "SKLINE_LOG__MODE": "off"}


def log_environment(mode: str, folder: str) -> dict[str, str]:
    """Return the settings of a prediction log in a folder, which is empty: a second run would find its rows there."""
    database = Path(folder) / "log.db"
    for path in Path(folder).glob("log.db*"):
        path.unlink()
    return {"SKLINE_LOG__MODE": mode, "SKLINE_LOG__DATABASE": str(database), "SKLINE_LOG__PARTITIONS": f"{folder}/days"}


def kill_twice(servers: str, rows: int) -> dict[str, Any]:
    """Kill a stream after a quarter and after half of the predictions, let it end, and count the predictions."""
    create_topics(servers, drilled=PARTITIONS)
    options = ["--to", "drilled", "--keep", "number"]
    command = stream_command(servers, "drill", *options)
    started = time.monotonic()
    for processed in (rows // 4, rows // 2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        while count(servers, "drilled") < processed:
            assert process.poll() is None, "the stream ended before it was killed"
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    seconds = time.monotonic() - started
    predictions: Counter[bytes] = Counter()
    numbers: set[int] = set()
    for message in messages(servers, "drilled"):
        predictions[message.key()] += 1
        numbers.add(json.loads(message.value())["number"])
    return {"seconds": seconds, "messages": predictions.total(), "ids": len(predictions), "rows": len(numbers)}


def count(servers: str, topic: str) -> int:
    """Return about how many messages a topic has; the last batches may be missing."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "count", "log_level": 0})
    ends = [
        consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1] for number in range(PARTITIONS)
    ]
    consumer.close()
    return sum(ends)


def messages(servers: str, topic: str) -> Iterator[Any]:
    """Read a topic to its end: until nothing arrives for 3 seconds."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "read", "log_level": 0})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    while found := consumer.consume(50_000, 3.0):
        yield from (message for message in found if message.error() is None)
    consumer.close()


def row_of(name: str, rows: int, runs: list[Measurement]) -> str:
    """Return the line of a command: medians."""
    wall, processor = (statistics.median(getattr(each, field) for each in runs) for field in ("wall", "processor"))
    return f"| {name} | {wall:,.1f} | {processor:,.1f} | {rows / wall:,.0f} | {rows / processor:,.0f} |"


def times(runs: list[Measurement], others: list[Measurement]) -> float:
    """Return how many times the processor time of the others some runs took: the median of the rounds."""
    return statistics.median(a.processor / b.processor for a, b in zip(runs, others, strict=True))


def render(
    rows: int,
    rounds: int,
    score: list[Measurement],
    stream: list[Measurement],
    logged: list[Measurement],
    drill: dict[str, Any],
) -> str:
    """Return the page."""
    described = f"{rounds} interleaved rounds; figures are medians" if rounds > 1 else "1 interleaved round"
    return f"""# Streaming

Written by `uv run --group kafka python -m benchmarks.streaming --rounds {rounds}`: {os.cpu_count()} cores, Python
{platform.python_version()}. {rows:,} flights of the demo as JSON objects in {PARTITIONS} partitions of a topic; the
broker is Tansu, in memory, on the same machine. Both commands check every row against the contract and run on one
core, in {described}. The start of the process counts, and for the stream also
joining the group, which takes the broker 3 seconds. Other work on the machine affects the wall time more than the
processor time.

| | wall, s | processor, s | rows/s | rows per processor second |
|---|--:|--:|--:|--:|
{row_of("`skline score`, Parquet to Parquet", rows, score)}
{row_of("`skline stream`, topic to topic, without prediction log", rows, stream)}
{row_of("`skline stream`, topic to topic, with the prediction log", rows, logged)}

**A row of a stream takes {times(stream, score):.1f} times the processor time of one in a table**, and
{times(logged, score):.1f} times with the prediction log: each row is JSON that is read, JSON that is written, and two
messages of the client's library, and the log is a row of a database. More members of the group, up to the number of
partitions, share the rows.

Killed with SIGKILL after a quarter and after half of the predictions, and started again each time, the stream wrote
{drill["messages"]:,} predictions for {rows:,} rows in {drill["seconds"]:,.0f} s, with up to {SESSION_MS // 1000} s
after each kill until the group noticed it. They are of {drill["rows"]:,} different rows and have
{drill["ids"]:,} different ids: {drill["messages"] - drill["ids"]:,} predictions were repeated. A kill repeats the
batch whose predictions are written and whose offsets are not committed yet, each under the id of the first.
"""


if __name__ == "__main__":
    main()
