"""A canary is taken back when it is surely worse than allowed, and by chance hardly ever."""

import numpy as np
import pytest

from skline.release.guards import Tally, band, breach, shift, wilson
from skline.settings import Guards

GUARDS = Guards(min_rows=100)


def tally(rows: int, **faults: int) -> Tally:
    return Tally(rows, **faults, scores=[rows // 2, rows - rows // 2])  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["errors", "fallbacks", "slow"])
def test_a_challenger_that_mostly_fails_is_taken_back_at_the_first_look(fault: str) -> None:
    said = breach(GUARDS, tally(900), tally(100, **{fault: 80}))
    assert said is not None
    assert said.startswith(f"{fault}: the challenger")
    assert "80 of 100 rows" in said


def test_faults_that_the_champion_has_too_are_not_the_challengers() -> None:
    assert breach(GUARDS, tally(900, errors=720), tally(100, errors=80)) is None


def test_with_too_few_rows_nothing_is_said() -> None:
    assert breach(GUARDS, tally(900), tally(99, errors=99)) is None


def test_scores_that_have_moved_are_noticed_and_empty_histograms_are_not() -> None:
    said = breach(GUARDS, Tally(2000, scores=[1900, 100]), Tally(2000, scores=[500, 1500]))
    assert said is not None
    assert "0.70 apart" in said
    assert breach(GUARDS, Tally(2000, scores=[0, 0]), Tally(2000, scores=[5, 5])) is None


def test_an_equal_challenger_is_not_taken_back_in_a_thousand_looks() -> None:
    rng = np.random.default_rng(5)
    strict = Guards(min_rows=100, errors=0, fallbacks=0, slow=0, score_shift=0)
    alarms = 0
    for _ in range(20):  # 20 canaries of 50 looks, and limits that allow no difference at all
        champion, challenger = Tally(scores=[0] * 10), Tally(scores=[0] * 10)
        for _ in range(50):
            for one, rows in ((champion, 900), (challenger, 100)):
                one.rows += rows
                for fault in ("errors", "fallbacks", "slow"):
                    setattr(one, fault, getattr(one, fault) + int(rng.binomial(rows, 0.03)))
                one.scores = (np.array(one.scores) + rng.multinomial(rows, [0.1] * 10)).tolist()
            if breach(strict, champion, challenger):
                alarms += 1
                break
    assert alarms == 0


def test_the_intervals_hold_what_they_should() -> None:
    assert wilson(0, 100)[0] == 0
    assert wilson(100, 100)[1] == pytest.approx(1)
    low, high = wilson(50, 100)
    assert low < 0.5 < high
    assert shift([1, 0], [0, 1]) == 1
    assert shift([3, 3], [5, 5]) == 0
    assert band(10_000, 10_000) == pytest.approx(2 * band(40_000, 40_000))
