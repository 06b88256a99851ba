"""The simulated feedback loop biases labels as they are, and the weights of the review sample repair it."""

import numpy as np

from benchmarks.simulations.feedback_loop import decide, draw, fit, live, risk


def test_weights_of_the_review_sample_repair_the_gap_of_selected_labels() -> None:
    naive, repaired = (
        live(policy, seed=1, generations=3)[-1]
        for policy in ("labels of those who got a loan", "`train.weights.selection`")
    )
    assert naive.gap < -0.03
    assert abs(repaired.gap) < 0.03


def test_decision_and_officer_select_the_labels_and_the_sample_does_not() -> None:
    random = np.random.default_rng(1)
    applicants = draw(random, 1, 4_000)
    model = fit(applicants.rows, np.ones(len(applicants.rows)), 1)
    labels = decide(random, model, applicants, everybody=False)
    share = applicants.default.mean()
    assert labels.rows["default"][labels.selected].mean() < share - 0.1
    assert abs(labels.rows["default"][~labels.selected].mean() - share) < 0.06
    assert (
        labels.inclusion[~labels.selected].tolist()
        == [labels.inclusion[~labels.selected][0]] * (~labels.selected).sum()
    )
    assert (risk(model, applicants) > 0).all()
