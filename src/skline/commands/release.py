"""`skline promote | rollback | abort | releases | flag`: what is served, and how it is taken back."""

import argparse
from typing import TYPE_CHECKING, Any

from skline.errors import SklineError

if TYPE_CHECKING:
    from skline.release.journal import Approval, Entry
    from skline.release.manifest import Release
    from skline.release.promotion import How
    from skline.release.versions import Registry
    from skline.settings import Settings

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

FLAGS = ("explain", "review", "challenger")
#: Whether more is better, by the KPI of an A/B test; of `label` nobody knows but who asks.
BETTER = {"correct": "higher", "brier": "lower", "absolute_error": "lower", "squared_error": "lower"}


def add(commands: "Commands") -> None:
    """Declare the commands."""
    command = commands.add_parser("promote", help="serve a registered version, or try it beside the champion")
    command.add_argument("version", nargs="?", help="number, or challenger, previous (default: challenger)")
    command.add_argument("--approve", metavar="NAME", help="who answers for it; needs --reason")
    command.add_argument("--reason", default="", help="why, for the journal")
    how = command.add_mutually_exclusive_group()
    how.add_argument("--canary", metavar="PERCENT", help="answers so much of the traffic; 5,20,50 is a ramp")
    how.add_argument("--shadow", action="store_true", help="scores what the champion answers, and nobody sees it")
    how.add_argument("--ab", action="store_true", help="an A/B test, read by `skline experiment report`")
    command.add_argument("--every", metavar="TIME", help="of a ramp: time between two steps, as 30m, 12h, 2d")
    command.add_argument(
        "--share", type=float, default=50, metavar="PERCENT", help="of --ab: the challenger's (default: 50)"
    )
    command.add_argument(
        "--kpi", choices=("label", *BETTER), help="of --ab: what is averaged over an entity's predictions"
    )
    command.add_argument("--better", choices=("higher", "lower"), help="of --ab --kpi label: which is better")
    command.add_argument("--entities", type=int, help="of --ab: labelled entities until the end, of both arms together")
    command.add_argument("--looks", type=int, default=1, help="of --ab: times that it is looked at (default: 1)")
    command.add_argument(
        "--boundary", choices=("obrien-fleming", "pocock"), default="obrien-fleming", help="of --ab with several looks"
    )
    command.add_argument("--alpha", type=float, default=0.05, help="of --ab: two-sided error (default: 0.05)")
    command.set_defaults(carry_out=promote)
    command = commands.add_parser(
        "rollback", help="end the experiment, or serve the champion before; needs no registry"
    )
    command.add_argument("--to", type=int, metavar="NUMBER", help="serve the champion of that release")
    command.add_argument("--reason", default="", help="why, for the journal")
    command.set_defaults(carry_out=rollback)
    command = commands.add_parser("abort", help="end the running experiment; the champion answers alone")
    command.add_argument("--reason", default="", help="why, for the journal")
    command.set_defaults(carry_out=abort)
    command = commands.add_parser("releases", help="what was served, since when, by whom and why")
    command.add_argument("--last", type=int, default=20, help="how many (default: 20)")
    command.set_defaults(carry_out=show)
    command = commands.add_parser("flag", help="switch what requests may get, without a restart")
    command.add_argument("name", nargs="?", choices=FLAGS, help="without one, the flags in force are shown")
    command.add_argument("state", nargs="?", choices=("on", "off"))
    command.add_argument("--reason", default="", help="why, for the journal")
    command.set_defaults(carry_out=flag)


def promote(arguments: argparse.Namespace) -> None:
    """Carry out `skline promote`."""
    from skline.release import promotion
    from skline.release.changes import Releases
    from skline.settings import Settings

    how, approval, settings = _how(arguments), _approval(arguments), Settings.load()
    releases, registry = Releases(), registry_of(settings)
    before = releases.current()
    entry, notes = promotion.promote(releases, registry, settings, arguments.version, how, approval, arguments.reason)
    _told(entry)
    for note in notes:
        print(f"note: {note}")
    _point(registry, entry, before)


def rollback(arguments: argparse.Namespace) -> None:
    """Carry out `skline rollback`."""
    from skline.release.changes import Releases

    releases = Releases()
    before = releases.current()
    entry = releases.rollback(arguments.to, arguments.reason)
    _told(entry)
    _point_if_settled(entry, before)


def abort(arguments: argparse.Namespace) -> None:
    """Carry out `skline abort`."""
    from skline.release.changes import Releases

    _told(Releases().abort(arguments.reason))


def show(arguments: argparse.Namespace) -> None:
    """Carry out `skline releases`."""
    from skline.release import journal
    from skline.release.changes import Releases

    releases = Releases()
    told, current = journal.read(releases.journal), releases.current()
    in_force = {entry.release.number for entry in releases.history()}
    if not told.entries:
        print(f"nothing was promoted yet; `skline serve` serves artifact/ ({releases.journal} has no entry)")
    for entry in told.entries[-max(arguments.last, 1) :]:
        number = entry.release.number
        mark = "*" if current is not None and number == current.number else " "
        words = f"{entry.action}: {entry.what}" + ("" if number in in_force else " (never published)")
        approved = f"; approved by {entry.approval.name}: {entry.approval.reason}" if entry.approval else ""
        why = f"; {entry.why}" if entry.why and not entry.approval else ""
        print(f"{mark}{number:>4}  {entry.time:%Y-%m-%d %H:%M:%S}  {entry.who}  {words}{approved}{why}")
    for line in told.damaged:
        print(f"line {line} of {releases.journal} cannot be read: it was cut off or changed")


def flag(arguments: argparse.Namespace) -> None:
    """Carry out `skline flag`."""
    from skline.release.changes import Releases

    releases = Releases()
    if arguments.name is not None and arguments.state is None:
        raise SklineError(f"skline flag {arguments.name}: say on or off")
    if arguments.name is not None:
        _told(releases.flag(arguments.name, on=arguments.state == "on", why=arguments.reason))
        return
    current = releases.current()
    if current is None:
        raise SklineError("flags are part of a release, and there is none yet; run `skline promote` first")
    for name, on in current.flags.model_dump().items():
        print(f"{name:<12}{'on' if on else 'off'}")


def registry_of(settings: "Settings") -> "Registry":
    """The registry that the settings name."""
    import os

    from skline.release.versions import Registry

    return Registry(
        os.environ.get("MLFLOW_TRACKING_URI", settings.register_.tracking_uri),
        settings.project.name,
        settings.release.timeout,
        settings.release.download_seconds,
    )


def _told(entry: "Entry") -> None:
    """Say what is in force now; services follow within their watch_seconds."""
    print(f"release {entry.release.number} is in force: {entry.action} {entry.what}", flush=True)


def _point_if_settled(entry: "Entry", before: "Release | None") -> None:
    """Set the aliases after a rollback, which must work where there is not even a params.yaml."""
    from skline.settings import Settings

    try:
        registry = registry_of(Settings.load())
    except SklineError as error:
        print(f"note: the registry's aliases were not moved: {error}")
    else:
        _point(registry, entry, before)


def _point(registry: "Registry", entry: "Entry", before: "Release | None") -> None:
    """Set the registry's aliases; the release is in force whether or not that can be done."""
    from skline.release.promotion import aliases

    try:
        registry.point(aliases(entry, before))
    except SklineError as error:
        print(f"note: the release is in force, but the registry's aliases were not moved: {error}")


def _approval(arguments: argparse.Namespace) -> "Approval | None":
    from skline.release.journal import Approval

    if arguments.approve is None:
        return None
    if not arguments.reason.strip() or not arguments.approve.strip():
        raise SklineError("an approval needs a name and a reason: --approve NAME --reason WHY")
    return Approval(name=arguments.approve, reason=arguments.reason)


def _how(arguments: argparse.Namespace) -> "How":
    """Read what kind of promotion is meant."""
    from skline.release.promotion import How, read_duration, weight_of

    if arguments.shadow:
        return How("shadow")
    if arguments.ab:
        weight_of(arguments.share)
        return How("ab", share=arguments.share, design=_design(arguments))
    if arguments.canary is None:
        return How()
    try:
        percents = tuple(float(percent) for percent in arguments.canary.split(","))
    except ValueError:
        raise SklineError(f"--canary {arguments.canary}: give a percentage, or several with commas") from None
    for percent in percents:
        weight_of(percent)
    if (len(percents) > 1) != (arguments.every is not None):
        raise SklineError("a ramp of several percentages needs --every TIME, and one percentage has no ramp")
    if list(percents) != sorted(set(percents)):
        raise SklineError(f"--canary {arguments.canary}: the steps of a ramp must rise")
    return How("canary", percents, None if arguments.every is None else read_duration(arguments.every))


def _design(arguments: argparse.Namespace) -> Any:
    """Read what an A/B test is to find out."""
    from pydantic import ValidationError

    from skline.release.experiment import Design

    if arguments.kpi is None or arguments.entities is None:
        raise SklineError("an A/B test needs --kpi and --entities: what is compared, and on how many, is fixed before")
    better = arguments.better or BETTER.get(arguments.kpi)
    if better is None:
        raise SklineError("--kpi label needs --better higher or lower")
    try:
        return Design(
            kpi=arguments.kpi,
            better=better,
            units=arguments.entities,
            looks=arguments.looks,
            boundary="fixed" if arguments.looks == 1 else arguments.boundary,
            alpha=arguments.alpha,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SklineError(
            f"--{'.'.join(map(str, first['loc']))}: {first['msg']}".replace("--units", "--entities")
        ) from None
