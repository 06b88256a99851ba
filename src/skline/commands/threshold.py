"""`skline threshold`: show what thresholds of a binary model give, or set another one."""

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from skline.commands import Subparsers
from skline.errors import SklineError
from skline.project import require_project

if TYPE_CHECKING:
    from skline.settings.training import Objective
    from skline.threshold import Operation

#: The objectives, each with the options that belong to it.
OPTIONS = {"fbeta": ("beta",), "cost": ("false_positive", "false_negative"), "recall": ("floor",)}


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "threshold",
        help="show or set the probability from which a binary model predicts the second class",
        description="Without a value: print the threshold, and precision, recall and share of positive predictions at "
        "others, on the validation part. With a value: set train.threshold in params.yaml. `dvc repro` then makes a "
        "version of its own of the fitted pipeline: tuned, evaluated, gated and registered, but not fitted again.",
    )
    command.add_argument("value", nargs="?", help=f"a number between 0 and 1, or an objective: {', '.join(OPTIONS)}")
    command.add_argument("--beta", type=float, help="of fbeta: recall weighs beta times as much as precision")
    command.add_argument("--false-positive", type=float, metavar="COST", help="of cost: the cost of a false positive")
    command.add_argument("--false-negative", type=float, metavar="COST", help="of cost: the cost of a false negative")
    command.add_argument("--floor", type=float, help="of recall: the minimum above which precision is optimised")
    command.set_defaults(run=threshold)


def threshold(arguments: argparse.Namespace) -> None:
    """Print the table, or change params.yaml.

    Raises
    ------
    SklineError
        If the model is not binary, the value is neither a number between 0 and 1 nor an objective, or there is no model
        to show.
    """
    require_project()
    given = {name: getattr(arguments, name) for names in OPTIONS.values() for name in names}
    options = {name: value for name, value in given.items() if value is not None}
    if arguments.value is None:
        if options:
            raise SklineError(f"{_flags(options)} needs an objective: {', '.join(OPTIONS)}")
        show()
    else:
        change(parse_setting(arguments.value, options))


def parse_setting(text: str, options: dict[str, float]) -> "float | Objective":
    """Return the setting that the arguments name; SklineError if they name none."""
    from pydantic import ValidationError

    from skline.settings.training import Objective

    if text in OPTIONS:
        if others := [name for name in options if name not in OPTIONS[text]]:
            raise SklineError(f"{_flags(others)}: the objective {text} has {_flags(OPTIONS[text])} only")
        if text == "cost" and not options:
            raise SklineError(
                f"the objective cost has no costs; set {_flags(OPTIONS['cost'])}, or one of them: then the other is 1"
            )
        try:
            return Objective.model_validate({"objective": text} | options)
        except ValidationError as error:
            faults = [": ".join(filter(None, [_flags(map(str, each["loc"])), each["msg"]])) for each in error.errors()]
            raise SklineError(f"{text}: {'; '.join(faults)}") from None
    if options:
        raise SklineError(f"{_flags(options)} needs an objective ({', '.join(OPTIONS)}), not {text!r}")
    try:
        number = float(text)
    except ValueError:
        raise SklineError(f"{text!r} is neither a number nor an objective ({', '.join(OPTIONS)})") from None
    if not 0 < number < 1:
        raise SklineError(f"the threshold is {text}; it must be above 0 and below 1")
    return number


def show() -> None:
    """Print the threshold of the setting and of the model, and what others give."""
    from skline import threshold as thresholds
    from skline.contract.spec import class_name
    from skline.settings import Settings

    setting, contract = Settings.load().train.threshold, thresholds.read_binary_contract()
    _, positive = contract.classes or ()
    current = thresholds.read_current()
    probabilities, is_positive = thresholds.score_validation_part(contract, positive)
    print(f"train.threshold: {thresholds.describe_setting(setting)}")
    print(f"the model's threshold: {current.value:.4g} ({current.objective})\n")
    print(f"{'threshold':>10}  {'precision':>9}  {'recall':>9}  {'positive':>9}")
    for each in thresholds.operations(probabilities, is_positive, current.value):
        print(_line(each) + ("  <- the model's" if each.threshold == current.value else ""))
    print(
        f"\npositive: share of the rows that are predicted to be {class_name(positive)}. On the "
        f"{len(probabilities):,} rows of the validation part; the test part is for the evaluation alone."
    )


def change(setting: "float | Objective") -> None:
    """Set train.threshold, and say what follows."""
    from skline import paths
    from skline import threshold as thresholds

    thresholds.read_binary_contract()
    before, after = thresholds.change_setting(setting)
    if before == after:
        print(f"{paths.PARAMS} has this threshold already: {after}")
        return
    print(f"{paths.PARAMS}: train.threshold: {before} → {after}")
    if paths.FITTED.exists():
        print(f"Run `dvc repro`: it uses the fit in {paths.FITTED}, unless something else has changed too")
    else:
        print("Run `dvc repro`: nothing is fitted here yet")


def _line(operation: "Operation") -> str:
    precision = "-" if operation.precision is None else f"{operation.precision:.3f}"
    return f"{operation.threshold:>10.4g}  {precision:>9}  {operation.recall:>9.3f}  {operation.share:>9.1%}"


def _flags(names: Iterable[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
