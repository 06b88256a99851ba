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

    def trials() -> Mapping[str, float]:
        trial = predictor.models.trial
        if trial is None:
            return {}
        done = trial.challenger_did
        return {
            "champion": trial.champion_did.rows,
            "challenger": done.rows,
            "challenger_failed": done.errors,
            "challenger_replaced": done.fallbacks,
            "challenger_slow": done.slow,
        }

    def shadows() -> Mapping[str, float]:
        trial = predictor.models.trial
        shadow = None if trial is None else trial.shadow
        return {} if shadow is None else {"scored": shadow.scored, "dropped": shadow.dropped, "failed": shadow.failed}

    def releases() -> Mapping[str, float]:
        models = predictor.models
        return {
            "number": 0 if models.release is None else models.release.number,
            "refused": models.refused is not None,
            "canary_aborted": models.trial is not None and models.trial.aborted is not None,
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
        ("skline_experiment_rows_total", "Rows of the running experiment, by arm and fault", "rows", trials),
        ("skline_shadow_rows_total", "Rows handed to the live shadow, by what became of them", "outcome", shadows),
        (
            "skline_release",
            "Number of the release in force (0: none); 1 if what was found last is refused, or a canary is taken back",
            "state",
            releases,
        ),
        (
            "skline_review_beyond_capacity_total",
            "Predictions in the review band beyond the day's capacity",
            "queue",
            lambda: {"review": predictor.review.beyond_capacity},
        ),
    ]
    return Counts(families)
