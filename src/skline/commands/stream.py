"""`skline stream kafka://HOST:PORT/TOPIC --to TOPIC --rejected TOPIC`: score a topic with the model in service."""

import argparse
from typing import TYPE_CHECKING

from skline.commands import Subparsers
from skline.commands._model import add_model_options, require_model_in_service, selected_model

if TYPE_CHECKING:
    from skline.settings.source_kafka import KafkaAddress


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "stream",
        help="score the rows of a Kafka topic with the model in service, and write the predictions to another",
        description="Score the rows of a Kafka topic with the model in service, until SIGTERM or Ctrl-C: the current "
        "batch is completed. Every row is processed at least once, under the same id each time. Exit status: 0 when it "
        "is stopped or, with --once, at the end; 1 after an error, and the rows of its batch are processed after the "
        "next start. Predictions are logged like those of the service, with the same settings (SKLINE_LOG__…).",
    )
    command.add_argument("source", metavar="kafka://HOST:PORT/TOPIC", help="the rows, JSON objects or Avro records")
    command.add_argument(
        "--to", required=True, metavar="TOPIC", help="the predictions: a topic of the same cluster, or its address"
    )
    command.add_argument(
        "--rejected",
        required=True,
        metavar="TOPIC",
        help="messages that are no rows, and rows that break the contract, as they are, with the reason in a header: "
        "a topic of the same cluster, or its address",
    )
    command.add_argument(
        "--group", default="skline-stream", help="the consumer group, whose members share the work (%(default)s)"
    )
    command.add_argument("--keep", default="", help="fields to copy to the predictions, separated by commas")
    command.add_argument("--batch-rows", type=int, default=10_000, metavar="N", help="(default: %(default)s)")
    command.add_argument("--once", action="store_true", help="end after the messages that there are at the start")
    command.add_argument(
        "--metrics-port", type=int, metavar="PORT", help="serve metrics for Prometheus on this port, without a key"
    )
    command.add_argument(
        "--metrics-host", default="127.0.0.1", metavar="ADDRESS", help="the address of the metrics (%(default)s)"
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="a setting of source.kafka, such as format=avro or options_file=PATH; repeatable",
    )
    add_model_options(command)
    command.set_defaults(run=stream)


def stream(arguments: argparse.Namespace) -> None:
    """Run one member of the consumer group."""
    import logging
    import signal
    import sys
    import threading

    from skline.commands._sources import parse_settings
    from skline.errors import SklineError
    from skline.settings.project import read_source_section
    from skline.settings.source_kinds import KAFKA
    from skline.sources.kinds import require_drivers

    require_drivers(KAFKA)
    if arguments.batch_rows < 1:
        raise SklineError(f"--batch-rows is {arguments.batch_rows}; it must be at least 1")
    address, to, rejected = _topics(arguments)
    if arguments.artifact is None and arguments.version is None:
        require_model_in_service()
    kafka = read_source_section({"uri": arguments.source, "kafka": parse_settings(arguments.settings)}).kafka

    from skline.batch.part import PartScorer
    from skline.logs.collector import LogCollector
    from skline.logs.settings import LogSettings
    from skline.sources.kafka_client import Cluster
    from skline.sources.kafka_messages import make_decoder
    from skline.streaming.message_scorer import MessageScorer, ScoreMessages
    from skline.streaming.metrics import StreamMetrics, served
    from skline.streaming.model import CurrentModel, Selected
    from skline.streaming.prediction_log import StreamLog
    from skline.streaming.stream import Stream, StreamSettings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    cluster = Cluster(address.servers, kafka.options_file, kafka.timeout_seconds)
    decode = make_decoder(kafka, cluster.registry_user)
    keep = [name for name in arguments.keep.split(",") if name]

    def load(model: Selected) -> tuple[str, ScoreMessages]:
        scorer = PartScorer(model.folder, model.digest, [])
        return scorer.version, MessageScorer(scorer, decode, keep)

    log_settings = LogSettings.from_environment()
    metrics, stop = StreamMetrics(), threading.Event()
    model = CurrentModel(lambda: selected_model(arguments), load, metrics)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = StreamSettings(
        address.topic, to, rejected, arguments.group, batch_rows=arguments.batch_rows, once=arguments.once
    )
    with (
        served(metrics, arguments.metrics_host, arguments.metrics_port),
        StreamLog(log_settings, arguments.arm or "champion") as prediction_log,
    ):
        metrics.registry.register(LogCollector(prediction_log.log))
        counts = Stream(cluster, settings, model, metrics, prediction_log).run(stop)
    print(f"{counts.scored:,} rows scored into {to}, {counts.rejected:,} rejected into {rejected}")


def _topics(arguments: argparse.Namespace) -> "tuple[KafkaAddress, str, str]":
    """Return the address of the rows, and the topics of predictions and rejected messages.

    Raises
    ------
    SklineError
        If one is invalid, on another cluster, or twice the same.
    """
    from skline.errors import SklineError
    from skline.settings.source_kafka import KafkaAddress

    address = KafkaAddress.parse(arguments.source)
    to = address.topic_beside(arguments.to, "--to")
    rejected = address.topic_beside(arguments.rejected, "--rejected")
    if len({address.topic, to, rejected}) < 3:
        raise SklineError("the topics to read, --to and --rejected must be three different ones")
    return address, to, rejected
