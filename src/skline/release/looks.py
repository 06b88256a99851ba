"""The looks of an A/B test: each is taken once, when enough entities are closed, written down, and never recomputed.

The boundaries hold for looks at data that do not change afterwards. So a look uses the first closed and labelled
entities of each arm, as many as planned; what is logged later changes neither its members nor their values. The file of
looks keeps it when rows of the log are corrected, purged or forgotten.
"""

import datetime as dt
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import ndtr, stdtrit

from skline.files import append_line, read_json_lines
from skline.logs.records import from_us
from skline.release.experiment import Design, Experiment
from skline.release.journal import exclusive_lock
from skline.release.sequential import boundaries, sample_ratio_p
from skline.release.units import ARMS, FloatArray, Units

log = logging.getLogger("skline.release")

Verdict = Literal["better", "worse", "no difference shown", "continue"]


class ArmSummary(BaseModel):
    """The entities of one arm at a look: their number, and mean and variance of their KPIs (denominator n - 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    entities: int
    mean: float
    variance: float


class Look(BaseModel):
    """One analysis of an A/B test.

    Attributes
    ----------
    number : int
        From 1 on.
    reached_at : datetime
        When the last of its entities was closed.
    effect, standard_error : float
        Of the challenger's mean less the champion's.
    boundary : float
        How many standard errors the effect has to be away from 0; the interval is as wide.
    sample_ratio_p : float
        Of the arms' sizes among all entities that were closed by then, labelled or not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    number: int
    reached_at: dt.datetime
    champion: ArmSummary
    challenger: ArmSummary
    effect: float
    standard_error: float
    boundary: float
    sample_ratio_p: float
    verdict: Verdict

    @property
    def z(self) -> float | None:
        """The effect in standard errors; None if no arm varies."""
        return self.effect / self.standard_error if self.standard_error else None

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the effect, as wide as the boundary."""
        half_width = self.boundary * self.standard_error
        return self.effect - half_width, self.effect + half_width

    @property
    def is_final(self) -> bool:
        """Whether the test is over with this look."""
        return self.verdict != "continue"


class RecordedLook(BaseModel):
    """One line of the file: a look, when it was written down, and the test that it belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    salt: str
    recorded_at: dt.datetime
    look: Look


@dataclass(frozen=True)
class LookStore:
    """The looks of all A/B tests of a project, one JSON object a line; lines are only ever appended."""

    path: Path

    def read(self, experiment: Experiment) -> list[Look]:
        """Return the looks of a test, in order.

        Raises
        ------
        SklineError
            If the file cannot be read.
        """
        lines = read_json_lines(self.path, RecordedLook)
        for number in lines.damaged_lines:
            log.warning("line %d of %s is not a look and is skipped; was it cut off?", number, self.path)
        looks: dict[int, Look] = {}
        for recorded in lines.values:
            if (recorded.experiment, recorded.salt) == (experiment.name, experiment.salt):
                looks.setdefault(recorded.look.number, recorded.look)
        return [looks[number] for number in sorted(looks)]

    def record(self, experiment: Experiment, new: Sequence[Look], now: dt.datetime) -> list[Look]:
        """Append the looks that nobody has written down yet, durably; return all looks of the test, in order.

        If another report was faster, its look stays and the new one is dropped.

        Raises
        ------
        SklineError
            If the file cannot be read or written.
        """
        if not new:
            return self.read(experiment)
        with exclusive_lock(self.path.parent):
            stored = self.read(experiment)
            for look in new:
                last = stored[-1] if stored else None
                if last is not None and (look.number <= last.number or last.is_final):
                    continue
                line = RecordedLook(experiment=experiment.name, salt=experiment.salt, recorded_at=now, look=look)
                append_line(self.path, line.model_dump_json().encode())
                stored.append(look)
        return stored


def planned_entities(design: Design, share: float, look: int) -> dict[str, int]:
    """Return the closed and labelled entities of each arm that a look needs, two at least for a variance.

    `share` is the challenger's.
    """
    shares = {"champion": 1 - share, "challenger": share}
    return {arm: max(2, math.ceil(design.units * shares[arm] * look / design.looks - 1e-9)) for arm in ARMS}


def take_looks(design: Design, share: float, units: Units, stored: Sequence[Look], now_us: int) -> list[Look]:
    """Return the looks that have become possible since the stored ones; none after the end of the test.

    Parameters
    ----------
    design : Design
    share : float
        The challenger's planned share of the entities, between 0 and 1.
    units : Units
    stored : sequence of Look
        In order.
    now_us : int
        Entities that close later do not count; microseconds since 1970, UTC.
    """
    if stored and stored[-1].is_final:
        return []
    usable = units.labelled & units.closed_by(now_us)
    members = {arm: np.flatnonzero(usable & units.in_arm(arm)) for arm in ARMS}
    new: list[Look] = []
    for number in range(stored[-1].number + 1 if stored else 1, design.looks + 1):
        needed = planned_entities(design, share, number)
        if any(len(members[arm]) < needed[arm] for arm in ARMS):
            break
        chosen = {arm: members[arm][: needed[arm]] for arm in ARMS}
        reached_at_us = max(int(units.closes_at[indices[-1]]) for indices in chosen.values())
        closed = units.closed_by(reached_at_us)
        champions, challengers = (int((closed & units.in_arm(arm)).sum()) for arm in ARMS)
        look = evaluate_look(
            design,
            number,
            units.kpi[chosen["champion"]],
            units.kpi[chosen["challenger"]],
            reached_at=from_us(reached_at_us),
            sample_ratio=sample_ratio_p(champions, challengers, share),
        )
        new.append(look)
        if look.is_final:
            break
    return new


def evaluate_look(
    design: Design,
    number: int,
    champion: FloatArray,
    challenger: FloatArray,
    *,
    reached_at: dt.datetime,
    sample_ratio: float,
) -> Look:
    """Compare the means of two arms at one look (Welch 1947).

    The boundary of the normal statistic is converted to that of Student's t with Welch's degrees of freedom at the same
    error probability (the significance level approach of Jennison and Turnbull 2000, chapter 4).

    Parameters
    ----------
    design : Design
    number : int
        Of the look, from 1 on.
    champion, challenger : float64 arrays
        The KPIs of the arms' entities, at least two in each.
    reached_at : datetime
    sample_ratio : float
        See `Look`.
    """
    arms = [
        ArmSummary(entities=len(kpis), mean=float(np.mean(kpis)), variance=float(np.var(kpis, ddof=1)))
        for kpis in (champion, challenger)
    ]
    parts = [arm.variance / arm.entities for arm in arms]
    effect, error = arms[1].mean - arms[0].mean, math.sqrt(sum(parts))
    limit = boundaries(design.looks)[number - 1]
    if error:
        freedom = sum(parts) ** 2 / sum(part**2 / (arm.entities - 1) for part, arm in zip(parts, arms, strict=True))
        limit = float(-stdtrit(freedom, ndtr(-limit)))
    verdict: Verdict = "continue" if number < design.looks else "no difference shown"
    if effect and abs(effect) >= limit * error:
        verdict = "better" if (effect > 0) == (design.better == "higher") else "worse"
    return Look(
        number=number,
        reached_at=reached_at,
        champion=arms[0],
        challenger=arms[1],
        effect=effect,
        standard_error=error,
        boundary=limit,
        sample_ratio_p=sample_ratio,
        verdict=verdict,
    )
