"""`skline doctor`: what is wrong here, and what to do about it."""

import argparse
from typing import Any

from skline.errors import SklineError


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Declare the command."""
    words = "look for what is wrong with this project, and say what to do"
    command = commands.add_parser("doctor", help=words, description=f"{words[0].upper()}{words[1:]}. Status 1: broken.")
    command.add_argument("--json", action="store_true", help="findings as JSON")
    command.set_defaults(carry_out=doctor)


def doctor(arguments: argparse.Namespace) -> None:
    """Carry out `skline doctor`.

    Raises
    ------
    SklineError
        If a finding is `broken`; the findings are printed before.
    """
    from skline.doctor.run import as_json, examine, told

    found = examine()
    print(as_json(found) if arguments.json else told(found))
    broken = sum(finding.level == "broken" for findings in found.values() for finding in findings)
    if broken:
        raise SklineError(f"{broken} {'thing is' if broken == 1 else 'things are'} broken")
