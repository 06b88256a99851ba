"""`skline doctor`: check the project."""

import argparse

from skline.commands import Subparsers
from skline.errors import SklineError


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "doctor",
        help="list problems in the project and how to fix them",
        description="List problems in the project and how to fix them. Exit status: 1 if something is broken, else 0.",
    )
    command.add_argument("--json", action="store_true", help="print the findings as JSON")
    command.set_defaults(run=doctor)


def doctor(arguments: argparse.Namespace) -> None:
    """Print the findings.

    Raises
    ------
    SklineError
        If a finding is `broken`.
    """
    from skline.doctor.findings import findings_as_json, format_findings
    from skline.doctor.run import run_checks
    from skline.project import require_project

    require_project()
    findings = run_checks()
    print(findings_as_json(findings) if arguments.json else format_findings(findings))
    broken = sum(finding.level == "broken" for group in findings.values() for finding in group)
    if broken:
        raise SklineError(f"{broken} {'thing is' if broken == 1 else 'things are'} broken")
