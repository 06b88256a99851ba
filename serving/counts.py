"""What the guard, the slots and the log count for themselves, as Prometheus reads it."""

from collections.abc import Callable, Mapping

from serving.connections import Connections
from serving.metrics import Counts
from serving.predictor import Predictor
from serving.room import Room
from serving.security.guard import Guard
from serving.security.limits import Slots


class Readings:
    """Reads the numbers when somebody scrapes."""

    def __init__(self, guard: Guard, slots: Slots, room: Room, predictor: Predictor) -> None:
        self._guard, self._slots, self._room, self._predictor = guard, slots, room, predictor

    def refusals(self) -> Mapping[str, float]:
        """Requests that were not admitted, by kind."""
        limited = 0 if self._guard.limiter is None else self._guard.limiter.refused
        return {
            "unauthorized": self._guard.keys.refused["unauthorized"],
            "forbidden": self._guard.keys.refused["forbidden"],
            "rate": limited,
            "busy": self._slots.turned_away,
            "no_room": self._room.turned_away,
        }

    def rows(self) -> Mapping[str, float]:
        """Rows of the log, by what became of them."""
        stats = self._predictor.log.stats()
        return {
            "written": stats.written,
            "dropped": stats.dropped,
            "refused": stats.refused,
            "abandoned": stats.abandoned,
        }

    def store_failures(self) -> Mapping[str, float]:
        """Failures of what the service leans on."""
        return {
            "log": self._predictor.log.stats().failed_batches,
            "limits": 0 if self._guard.limiter is None else self._guard.limiter.store_failures,
            "keys": self._guard.keys.reload_failures,
            "aborted_canaries": self._predictor.models.aborted.failures,
        }

    def queues(self) -> Mapping[str, float]:
        """What waits."""
        scorer = None if self._predictor.models.current is None else self._predictor.models.current.scorer
        return {
            "log": self._predictor.log.stats().queued,
            "rows": 0 if scorer is None else scorer.waiting,
            "requests": self._slots.waiting,
        }

    def trials(self) -> Mapping[str, float]:
        """Rows of the running experiment, by arm and fault."""
        trial = self._predictor.models.trial
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

    def shadows(self) -> Mapping[str, float]:
        """Rows of the live shadow, by what became of them."""
        trial = self._predictor.models.trial
        shadow = None if trial is None else trial.shadow
        return {} if shadow is None else {"scored": shadow.scored, "dropped": shadow.dropped, "failed": shadow.failed}

    def releases(self) -> Mapping[str, float]:
        """The release in force, and whether something is refused."""
        models = self._predictor.models
        return {
            "number": 0 if models.release is None else models.release.number,
            "refused": models.refused is not None,
            "canary_aborted": models.trial is not None and models.trial.aborted is not None,
        }


def counts(guard: Guard, slots: Slots, room: Room, predictor: Predictor, connections: Connections) -> Counts:
    """Make the collector of a service."""
    read = Readings(guard, slots, room, predictor)
    families: list[tuple[str, str, str, Callable[[], Mapping[str, float]]]] = [
        ("skline_refusals_total", "Requests that were not admitted", "kind", read.refusals),
        ("skline_log_rows_total", "Rows of the prediction log by what became of them", "outcome", read.rows),
        ("skline_store_failures_total", "Failures of what the service leans on", "store", read.store_failures),
        (
            "skline_connections_closed_total",
            "Connections closed for what their client did not do, or for one more",
            "reason",
            connections.counts,
        ),
        ("skline_connections", "Connections", "state", lambda: {"open": len(connections)}),
        (
            "skline_queue",
            "What waits: rows to be written, rows to be scored, requests for a slot",
            "queue",
            read.queues,
        ),
        ("skline_body_bytes", "Memory of request bodies that came in parts", "state", lambda: {"held": room.held}),
        ("skline_experiment_rows_total", "Rows of the running experiment, by arm and fault", "rows", read.trials),
        ("skline_shadow_rows_total", "Rows handed to the live shadow, by what became of them", "outcome", read.shadows),
        (
            "skline_release",
            "Number of the release in force (0: none); 1 if what was found last is refused, or a canary is taken back",
            "state",
            read.releases,
        ),
        (
            "skline_review_beyond_capacity_total",
            "Predictions in the review band beyond the day's capacity",
            "queue",
            lambda: {"review": predictor.review.beyond_capacity},
        ),
    ]
    return Counts(families)
