"""The policies that a replay compares: each is a variation of the project's settings."""

import datetime as dt
from dataclasses import dataclass

from skline.settings import Settings
from skline.settings.monitor import format_duration
from skline.settings.retrain import Retrain

WEEK, MONTH = dt.timedelta(days=7), dt.timedelta(days=28)


@dataclass(frozen=True)
class Policy:
    """A policy of retraining; every version that passes its gates, none of them undecided, is promoted.

    Attributes
    ----------
    name, description : str
    settings : Settings
        By which it is monitored, decided, trained and assessed: `retrain`, with `source.window` the age of the rows of
        a training, with `train.weights` their weights, with `retrain.action` what a training does.
    """

    name: str
    description: str
    settings: Settings


def of_settings(settings: Settings, name: str = "policy") -> Policy:
    """Return the policy of the project's params.yaml."""
    return Policy(name, "The section retrain of params.yaml decides.", settings)


def never(settings: Settings) -> Policy:
    """Return the policy that keeps the first model."""
    return Policy("never", "The first model serves all the time.", _with_retrain(settings, None))


def scheduled(settings: Settings, name: str, every: dt.timedelta) -> Policy:
    """Return the policy that trains at a fixed interval, whatever monitoring says."""
    text = f"A training every {format_duration(every)}, whatever monitoring says."
    return Policy(name, text, _with_retrain(settings, every))


def default_policies(settings: Settings) -> tuple[Policy, ...]:
    """Return the policies that a replay compares: that of the settings first, then never, monthly and weekly."""
    return (
        of_settings(settings),
        never(settings),
        scheduled(settings, "monthly", MONTH),
        scheduled(settings, "weekly", WEEK),
    )


def _with_retrain(settings: Settings, every: dt.timedelta | None) -> Settings:
    """Return the settings with age as the only reason to train, or with none."""
    retrain = Retrain(performance=False, concept=False, recovery=None, action=settings.retrain.action)
    if every is not None:
        retrain = retrain.model_copy(update={"max_age": every, "cooldown": every, "min_labels": 1})
    return settings.model_copy(update={"retrain": retrain})
