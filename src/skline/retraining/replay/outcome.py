"""What a replay results in: the metric of each period under each policy, with its trainings, promotions and alarms."""

import datetime as dt
from typing import Literal, Self

from pydantic import AwareDatetime, model_validator

from skline.monitoring.checks import State
from skline.monitoring.estimates import Estimate, ResultPart

Better = Literal["higher", "lower"]
#: What became of a training. registered: it passed its gates, and waits for a person; promoted: it serves; rejected: a
#: gate failed; undecided: it passed, but a gate could not be decided, so that it is not promoted; unchanged: an
#: artifact that was registered or in service before; failed: the pipeline ended with an error; aborted: its canary was.
TrainingOutcome = Literal["promoted", "registered", "rejected", "undecided", "unchanged", "failed", "aborted"]
Action = Literal["fit", "recalibrate"]


class Period(ResultPart):
    """A period of the replay, such as a week.

    Attributes
    ----------
    start, end : datetime
        start ≤ time of the prediction < end, UTC.
    rows, labels : int
        Predictions, and how many of them have a label at the end of the replay.
    metric : Estimate
        On the labelled rows, with its 95 % interval; empty if it has no value, such as an area of one class alone.
    model : str
        Version of the model that made most of the predictions; of hindsight, what it is.
    artifact_sha256 : str or None
        Digest of this model; None for one that was never packaged.
    state : State or None
        The state of monitoring at the end of the period; None if nothing monitors.
    """

    start: AwareDatetime
    end: AwareDatetime
    rows: int
    labels: int
    metric: Estimate = Estimate()
    model: str = ""
    artifact_sha256: str | None = None
    state: State | None = None


class Training(ResultPart):
    """A training: when, why, on what, and what became of it.

    Attributes
    ----------
    time : datetime
        Of the decision.
    reason : str
        Such as the sentence of the decision.
    action : {"fit", "recalibrate"}
    outcome : TrainingOutcome
    rows : int or None
        Of the training part (fit), or of the rows that calibration and threshold were set on (recalibrate); None if the
        training was that of `skline retrain`, whose journal does not count them.
    model : str
        The new version; empty if there is none.
    message : str
        The verdict of the gates, or the error.
    """

    time: AwareDatetime
    reason: str
    outcome: TrainingOutcome
    action: Action = "fit"
    rows: int | None = None
    model: str = ""
    message: str = ""


class Alarm(ResultPart):
    """An alarm of monitoring.

    Attributes
    ----------
    time : datetime
        End of the window.
    parts : tuple of str
        The parts of monitoring whose state is an alarm, such as performance.
    is_true : bool or None
        Whether the rows of the following period, which did not raise the alarm, confirm it for the model that was in
        service: the metric that models are compared by is worse than on the test part beyond chance, or the whole 95 %
        interval of a metric is beyond its floor. None if there are too few labels to tell.
    """

    time: AwareDatetime
    parts: tuple[str, ...]
    is_true: bool | None = None


class PolicyOutcome(ResultPart):
    """What a policy did in the replay, and how good its predictions were.

    Attributes
    ----------
    name : str
        Short and unique, such as `never`.
    description : str
        A sentence that says what the policy is.
    periods : tuple of Period
        In the order of time, without gaps.
    trainings : tuple of Training
    alarms : tuple of Alarm
    labels_used : int
        Distinct labelled rows of the replayed period that trainings have used, in any part.
    processor_seconds : float
        Of fits, tuning and gates; the scoring of the traffic is not included.
    mean : Estimate
        The mean of the metric over the periods that have one, weighted by their labels. Its interval assumes
        independent rows, and takes the models as they are: it says nothing about another training with another seed.
    gain : Estimate
        How much better this mean is than that of the replayed policy (above zero is better, whichever direction the
        metric has), on the same rows, with its 95 % interval; empty for the replayed policy itself, and if the two
        cannot be compared.
    """

    name: str
    description: str
    periods: tuple[Period, ...]
    trainings: tuple[Training, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    labels_used: int = 0
    processor_seconds: float = 0.0
    mean: Estimate = Estimate()
    gain: Estimate = Estimate()

    @property
    def promotions(self) -> tuple[Training, ...]:
        """The trainings whose version served."""
        return tuple(each for each in self.trainings if each.outcome == "promoted")

    @property
    def rejections(self) -> tuple[Training, ...]:
        """The trainings whose candidate failed a gate, or was aborted as a canary."""
        return tuple(each for each in self.trainings if each.outcome in ("rejected", "aborted"))

    @property
    def true_alarms(self) -> int:
        """Alarms that the metric of the following period confirms."""
        return sum(each.is_true is True for each in self.alarms)

    @property
    def false_alarms(self) -> int:
        """Alarms that the metric of the following period does not confirm."""
        return sum(each.is_true is False for each in self.alarms)

    @property
    def rows(self) -> int:
        """Predictions in all periods."""
        return sum(each.rows for each in self.periods)


class ReplayResult(ResultPart):
    """A replayed period under the replayed policy, and under others that were simulated for comparison.

    Attributes
    ----------
    project : str
        Name of the project.
    title : str
        Title of the model.
    start, end : datetime
        Of the replayed period, UTC.
    metric : str
        Name in the registry of metrics, such as log_loss.
    better : {"higher", "lower"}
    label_delay : timedelta
        Time from a prediction to its label.
    live : PolicyOutcome or None
        The policy of the project, run against a service; None if only simulations were run.
    compared : tuple of PolicyOutcome
        The simulated policies; the first is the one that the others are compared with if there is no `live`.
    requests, failed_requests : int or None
        Of the service in the replay; None without one.
    seed : int
        Of fits and resamples.
    """

    project: str
    start: AwareDatetime
    end: AwareDatetime
    metric: str
    better: Better
    label_delay: dt.timedelta
    title: str = ""
    live: PolicyOutcome | None = None
    compared: tuple[PolicyOutcome, ...] = ()
    requests: int | None = None
    failed_requests: int | None = None
    seed: int = 17

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Reject a result without a policy, and two policies of one name."""
        names = [each.name for each in self.policies]
        if not names:
            raise ValueError("a replay needs the outcome of at least one policy")
        if len(set(names)) < len(names):
            raise ValueError(f"the names of the policies {', '.join(names)} are not unique")
        return self

    @property
    def policies(self) -> tuple[PolicyOutcome, ...]:
        """The replayed policy first, then the simulated ones."""
        return (() if self.live is None else (self.live,)) + self.compared

    @property
    def replayed(self) -> PolicyOutcome:
        """The policy that the others are compared with."""
        return self.policies[0]
