"""The result of a finished replay: the policy that ran against the service, compared with simulated ones."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

from skline import paths
from skline.contract.spec import Contract
from skline.files import read_table, write_text
from skline.local_processes import LocalProcesses
from skline.retraining.replay.comparison import compare_policies, period_bounds, to_result
from skline.retraining.replay.live import live_outcome, read_replayed, to_scores
from skline.retraining.replay.measures import choose_metric, measure
from skline.retraining.replay.outcome import ReplayResult
from skline.retraining.replay.policies import Policy, default_policies
from skline.retraining.replay.policy_file import PolicyFile, override
from skline.retraining.replay.progress import Progress
from skline.retraining.replay.report import render_report
from skline.retraining.replay.simulation import Setup
from skline.retraining.replay.stream import Stream
from skline.retraining.replay.versions import Project, fit_version
from skline.retraining.replay.workspace import ReplayPlan, Workspace
from skline.settings import Settings


def compute_result(
    workspace: Workspace, plan: ReplayPlan, progress: Progress, build: Callable[[Contract], Pipeline]
) -> ReplayResult:
    """Measure the predictions of the service, and simulate the other policies on the same rows.

    Rows without a prediction, whose request failed, are left out of all policies.

    Parameters
    ----------
    workspace : Workspace
    plan : ReplayPlan
    progress : Progress
        Of the finished replay.
    build : function from Contract to unfitted Pipeline
        Of the clone.
    """
    settings, contract = workspace.read_settings(), workspace.read_contract()
    replayed = read_replayed(workspace)
    table = read_table(workspace.table)
    live = np.flatnonzero(~workspace.is_history(table, plan).to_numpy())
    missing = np.setdiff1d(live, live[0] + replayed["row"].to_numpy())
    answered = table[~np.isin(np.arange(len(table)), missing)]
    stream = Stream.of(answered, contract, plan.start, plan.end, plan.label_delay)
    project = Project(settings, build)
    first = fit_version(project, stream, np.arange(stream.first), 1)
    setup = Setup(project, stream, first, plan.every)
    metric = choose_metric(contract, None)
    scores = to_scores(replayed, contract)
    policies = simulated_policies(workspace, plan, settings)
    compared = compare_policies(setup, policies, metric, scores, workers=LocalProcesses())
    periods = period_bounds(setup)
    measured = measure(stream, periods, scores, metric, settings.train.seed)
    outcome = live_outcome(workspace, setup, plan.policies[0], periods, measured, replayed, progress)
    result = to_result(setup, metric, compared, outcome)
    return result.model_copy(update={"requests": progress.requests, "failed_requests": progress.failed})


def simulated_policies(workspace: Workspace, plan: ReplayPlan, settings: Settings) -> tuple[Policy, ...]:
    """Return never, monthly and weekly, and the further policies of the plan."""
    _, *defaults = default_policies(settings)
    others = [_simulated(each, settings, workspace.project / paths.PARAMS) for each in plan.policies[1:]]
    return (*defaults, *others)


def _simulated(policy: PolicyFile, settings: Settings, params: Path) -> Policy:
    """Return a policy that is simulated: the settings of the replayed one, with its changes."""
    base = settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
    changes = override(policy.sections, {"split": {"live_from": None}})
    return Policy(policy.name, policy.description, Settings.parse(override(base, changes), params))


def write_result(folder: Path, result: ReplayResult) -> Sequence[Path]:
    """Write the result as JSON and as a page; return the files."""
    data, page = folder / "replay.json", folder / "replay.html"
    write_text(data, result.model_dump_json(indent=1) + "\n")
    write_text(page, render_report(result))
    return data, page
