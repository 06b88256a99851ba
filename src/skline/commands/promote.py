"""`skline promote`: serve a registered version, or try it next to the champion."""

import argparse
from typing import TYPE_CHECKING

from skline import paths
from skline.commands import Subparsers
from skline.commands._model import accepted_digest, add_accept_option
from skline.commands._moments import parse_duration_option
from skline.errors import SklineError
from skline.project import require_project

if TYPE_CHECKING:
    from skline.release.experiment import Design
    from skline.release.journal import Approval
    from skline.release.promotion import PromotionPlan
    from skline.settings import Settings

#: Which direction is better, by the KPI of an A/B test; for `label` the user has to state it.
BETTER = {"correct": "higher", "brier": "lower", "absolute_error": "lower", "squared_error": "lower"}


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "promote",
        help="serve a registered version, or try it next to the champion",
        description="Publish a release that serves a registered version, or tries it next to the champion. Exit "
        "status: 0 if it is published and no running service here rejects it; 1 after an error, or if one rejects it, "
        "as a service does until its restart when the version has other columns: the release stays published.",
    )
    command.add_argument("version", nargs="?", help="number, or challenger, previous (default: challenger)")
    command.add_argument("--approve", metavar="NAME", help="name of the approver; needs --reason")
    command.add_argument("--reason", default="", help="reason, for the journal")
    add_accept_option(command)
    mode = command.add_mutually_exclusive_group()
    mode.add_argument("--canary", metavar="PERCENT", help="share of traffic for the version; 5,20,50 is a ramp")
    mode.add_argument("--shadow", action="store_true", help="score live requests without returning the result")
    mode.add_argument("--ab", action="store_true", help="start an A/B test; see `skline experiment report`")
    ramp = command.add_argument_group("ramp (--canary with several percentages)")
    ramp.add_argument(
        "--every", type=parse_duration_option, metavar="TIME", help="time between two steps, such as 30m, 12h, 2d"
    )
    test = command.add_argument_group("A/B test (--ab)")
    test.add_argument("--share", type=float, default=50, metavar="PERCENT", help="the challenger's share (default: 50)")
    test.add_argument("--kpi", choices=("label", *BETTER), help="value that is averaged over an entity's predictions")
    test.add_argument("--better", choices=("higher", "lower"), help="which direction is better (--kpi label)")
    test.add_argument("--entities", type=int, help="total labelled entities to collect, in both arms together")
    test.add_argument("--looks", type=int, default=1, help="number of analyses, the last one included (default: 1)")
    test.add_argument(
        "--window",
        type=parse_duration_option,
        metavar="TIME",
        help="how long an entity's predictions count (default: 7d)",
    )
    test.add_argument(
        "--label-delay",
        type=parse_duration_option,
        metavar="TIME",
        help="time for labels after the window (default: 1d)",
    )
    command.set_defaults(run=promote)


def promote(arguments: argparse.Namespace) -> None:
    """Publish the release and update the registry's aliases."""
    from skline.settings import Settings

    require_project(paths.PARAMS)
    plan, approval, accepted = _read_plan(arguments), _read_approval(arguments), accepted_digest(arguments)
    if accepted is not None and not arguments.reason.strip():
        raise SklineError("--accept-digest needs --reason WHY: the journal records who accepted the digest, and why")
    publish(Settings.load(), arguments.version, plan, approval, arguments.reason, accepted)


def publish(
    settings: "Settings",
    requested: str | None,
    plan: "PromotionPlan",
    approval: "Approval | None",
    why: str,
    accepted: str | None = None,
    follows: int | None = None,
) -> None:
    """Promote a version, print the release, and update the registry's aliases.

    With `follows` only if this is the number of the release in force; 0 is none.
    """
    from skline.commands._releases import open_registry, print_entry, report_services, update_aliases
    from skline.release import promotion
    from skline.release.store import ReleaseStore
    from skline.stages.progress import show_elapsed

    releases, registry = ReleaseStore(), open_registry(settings)
    previous = releases.current()
    with show_elapsed("verifying the champion's artifact"):
        restored = promotion.restore_champion(releases, registry)
    if restored is not None:
        print(f"fetched the artifact of {restored.version} again, which is released: it was missing")
        if plan.kind is None and registry.find(requested).artifact_sha256 == restored.sha256:
            return
    with show_elapsed("verifying the version"):
        entry, notes = promotion.promote(
            releases,
            registry,
            requested,
            plan,
            approval,
            why,
            approval_required=settings.release.approval == "required",
            guards=settings.release.guards,
            accepted_digest=accepted,
            follows=follows,
        )
    print_entry(entry)
    for note in notes:
        print(f"note: {note}")
    update_aliases(registry, entry, previous)
    report_services(releases, entry)


def _read_approval(arguments: argparse.Namespace) -> "Approval | None":
    from skline.release.journal import Approval

    if arguments.approve is None:
        return None
    if not arguments.reason.strip() or not arguments.approve.strip():
        raise SklineError("an approval needs a name and a reason: --approve NAME --reason WHY")
    return Approval(name=arguments.approve, reason=arguments.reason)


def _read_plan(arguments: argparse.Namespace) -> "PromotionPlan":
    """Return the kind of promotion that the arguments describe."""
    from skline.release.promotion import PromotionPlan, weight_of

    if arguments.shadow:
        return PromotionPlan("shadow")
    if arguments.ab:
        weight_of(arguments.share)
        return PromotionPlan("ab", share=arguments.share, design=_read_design(arguments))
    if arguments.canary is None:
        return PromotionPlan()
    try:
        percents = tuple(float(percent) for percent in arguments.canary.split(","))
    except ValueError:
        raise SklineError(
            f"--canary {arguments.canary} is not a percentage; give one, or several separated by commas"
        ) from None
    for percent in percents:
        weight_of(percent)
    if (len(percents) > 1) != (arguments.every is not None):
        raise SklineError("a ramp of several percentages needs --every TIME, and one percentage has no ramp")
    if list(percents) != sorted(set(percents)):
        raise SklineError(f"--canary {arguments.canary}: the percentages of a ramp must rise")
    return PromotionPlan("canary", percents, arguments.every)


def _read_design(arguments: argparse.Namespace) -> "Design":
    """Return the design of an A/B test."""
    from pydantic import ValidationError

    from skline.release.experiment import Design

    if arguments.kpi is None or arguments.entities is None:
        raise SklineError("an A/B test needs --kpi and --entities: metric and sample size are fixed before it starts")
    better = arguments.better or BETTER.get(arguments.kpi)
    if better is None:
        raise SklineError("--kpi label needs --better higher or --better lower")
    times = {"window_seconds": arguments.window, "label_seconds": arguments.label_delay}
    durations = {name: int(time.total_seconds()) for name, time in times.items() if time is not None}
    try:
        return Design(
            kpi=arguments.kpi,
            better=better,
            units=arguments.entities,
            looks=arguments.looks,
            **durations,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SklineError(
            f"--{'.'.join(map(str, first['loc']))}: {first['msg']}".replace("--units", "--entities")
        ) from None
