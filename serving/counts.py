"""What the guard, the slots and the log count for themselves, as Prometheus reads it."""

from collections.abc import Callable, Mapping

from serving.connections import Connections
from serving.metrics import Counts
from serving.predictor import Predictor
from serving.security.guard import Guard
from serving.security.limits import Slots


def counts(guard: Guard, slots: Slots, predictor: Predictor, connections: Connections) -> Counts:
    """Make the collector of a service."""

    def refusals() -> Mapping[str, float]:
        limited = 0 if guard.limiter is None else guard.limiter.refused
        return {
            "unauthorized": guard.keys.refused["unauthorized"],
            "forbidden": guard.keys.refused["forbidden"],
            "rate": limited,
            "busy": slots.turned_away,
        }

    def rows() -> Mapping[str, float]:
        stats = predictor.log.stats()
        return {
            "written": stats.written,
            "dropped": stats.dropped,
            "refused": stats.refused,
            "abandoned": stats.abandoned,
        }

    def store_failures() -> Mapping[str, float]:
        return {
            "log": predictor.log.stats().failed_batches,
            "limits": 0 if guard.limiter is None else guard.limiter.store_failures,
            "keys": guard.keys.reload_failures,
        }

    def queues() -> Mapping[str, float]:
        scorer = None if predictor.models.current is None else predictor.models.current.scorer
        return {
            "log": predictor.log.stats().queued,
            "rows": 0 if scorer is None else scorer.waiting,
            "requests": slots.waiting,
        }

    families: list[tuple[str, str, str, Callable[[], Mapping[str, float]]]] = [
        ("skline_refusals_total", "Requests that were not admitted", "kind", refusals),
        ("skline_log_rows_total", "Rows of the prediction log by what became of them", "outcome", rows),
        ("skline_store_failures_total", "Failures of what the service leans on", "store", store_failures),
        (
            "skline_connections_closed_total",
            "Connections closed for what their client did not do, or for one more",
            "reason",
            connections.counts,
        ),
        ("skline_connections", "Connections", "state", lambda: {"open": len(connections)}),
        ("skline_queue", "What waits: rows to be written, rows to be scored, requests for a slot", "queue", queues),
        (
            "skline_review_beyond_capacity_total",
            "Predictions in the review band beyond the day's capacity",
            "queue",
            lambda: {"review": predictor.review.beyond_capacity},
        ),
    ]
    return Counts(families)
