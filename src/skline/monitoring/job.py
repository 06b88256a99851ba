"""What to monitor: settings, artifact, log and the end of the window, and the periods that follow from them."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from skline.artifact import Artifact
from skline.logs.settings import LogSettings
from skline.monitoring.log_tables import Period
from skline.monitoring.reader import LogReader
from skline.monitoring.report.content import ReleaseMark
from skline.settings.monitor import Compare, Monitor


@dataclass(frozen=True)
class Job:
    """What to monitor: settings, artifact, and the end of the window.

    Attributes
    ----------
    floors : mapping of str to float
        Minimum of each metric, or maximum for losses.
    releases : tuple of ReleaseMark
        For the page.
    known_versions : mapping of str to str
        Version by digest of the artifacts that were released or registered here.
    rejections : tuple of str
        Why services on this machine do not serve the release; known only for a window that ends now.
    posts_changes : bool
        Whether changes are posted to the webhook of the settings.
    """

    settings: Monitor
    artifact: Artifact
    log: LogSettings
    end: dt.datetime
    floors: Mapping[str, float]
    releases: tuple[ReleaseMark, ...] = ()
    known_versions: Mapping[str, str] = field(default_factory=dict)
    rejections: tuple[str, ...] = ()
    posts_changes: bool = True

    @property
    def start(self) -> dt.datetime:
        """Start of the window."""
        return self.end - self.settings.window

    @property
    def window(self) -> Period:
        """The window."""
        return Period(self.start, self.end)

    @property
    def matured(self) -> Period:
        """The window, shifted by the label horizon."""
        return Period(self.start - self.settings.label_horizon, self.end - self.settings.label_horizon)

    @property
    def labelled(self) -> Period:
        """The labelled predictions whose errors make the stream of concept drift."""
        start, end, _ = self.matured
        return Period(start - (self.settings.concept.windows - 1) * self.settings.window, end, labelled=True)

    @property
    def seasons(self) -> list[Period]:
        """The same hours of earlier seasons, which do not overlap with the window."""
        steps = range(1, self.settings.seasons + 1)
        shifts = [step * self.settings.season for step in steps if step * self.settings.season >= self.settings.window]
        return [Period(self.start - shift, self.end - shift) for shift in shifts]

    @property
    def references(self) -> dict[Compare, Period]:
        """The rows of the log that the window is compared with."""
        periods: dict[Compare, Period] = {"season": self.seasons[0]} if self.seasons else {}
        if self.settings.compare == "previous":
            periods["previous"] = Period(self.start - self.settings.window, self.start)
        return periods

    def open_log(self) -> LogReader:
        """Open the log in all periods that are read, and in those that are counted only."""
        periods = [self.window, self.matured, self.labelled, *self.references.values()]
        return LogReader(
            self.log, self.artifact.contract, periods, self.end, self.seasons, self.settings.max_rows,
            self.settings.memory_mb,
        )  # fmt: skip
