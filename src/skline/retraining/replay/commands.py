"""Run the commands of a replay: in its own project, with its own clock, log and registry."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from skline.clock import VARIABLE
from skline.errors import SklineError

#: Lines of a command's output that an error shows.
SHOWN_LINES = 15


class Commands:
    """Runs commands in the project of a replay; their output goes to a file.

    Parameters
    ----------
    project : Path
        The root of the project of the replay.
    clock : Path
        The file of the simulated clock.
    output : Path
        The file that the output of all commands is appended to.
    """

    def __init__(self, project: Path, clock: Path, output: Path) -> None:
        self.project, self.output = project.resolve(), output.resolve()
        self.environment = replay_environment(os.environ, self.project, clock.resolve())

    def start(self, *arguments: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a command of skline, with further environment variables."""
        return self._start("skline", "skline.cli", arguments, variables or {})

    def run(self, *arguments: str, allowed: tuple[int, ...] = (0,)) -> int:
        """Run a command of skline to its end; return its exit status.

        Raises
        ------
        SklineError
            If the status is not one of `allowed`, with the end of its output.
        """
        status = self.start(*arguments).wait()
        if status not in allowed:
            raise self.failure(f"skline {' '.join(arguments)}", status)
        return status

    def run_tool(self, *arguments: str) -> str:
        """Run git, or another program, in the project; return what it prints.

        Raises
        ------
        SklineError
            If it fails, with what it says.
        """
        done = subprocess.run(  # noqa: S603
            arguments, cwd=self.project, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            detail = " ".join((done.stderr or done.stdout).split())[-600:]
            raise SklineError(f"`{' '.join(arguments)}` failed in {self.project}: {detail}")
        return done.stdout

    def run_dvc(self, *arguments: str) -> None:
        """Run DVC; its output goes to the file."""
        status = self._start("dvc", "dvc", arguments, {}).wait()
        if status:
            raise self.failure(f"dvc {' '.join(arguments)}", status)

    def _start(
        self, name: str, module: str, arguments: Sequence[str], variables: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a module of this environment; its output, after a line with its name, is appended to the file."""
        with self.output.open("ab") as output:
            output.write(f"\n$ {name} {' '.join(arguments)}\n".encode())
            output.flush()
            return subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", module, *arguments], cwd=self.project, env={**self.environment, **variables},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    def failure(self, command: str, status: int) -> SklineError:
        """Return the error of a command that failed: its status, and the end of the output."""
        lines = self.output.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN_LINES:]
        shown = "\n".join(f"  {line}" for line in lines)
        return SklineError(
            f"`{command}` ended with status {status} in {self.project}; all output is in {self.output}:\n{shown}"
        )


def replay_environment(environment: Mapping[str, str], project: Path, clock: Path) -> dict[str, str]:
    """Return the environment of the commands of a replay.

    No setting of skline or MLflow is inherited: they may name the log, the registry and the keys of a real service.

    Parameters
    ----------
    environment : mapping of str to str
        The environment of this process.
    project, clock : Path
        Absolute.
    """
    kept = {name: value for name, value in environment.items() if not name.startswith(("SKLINE_", "MLFLOW_"))}
    programs = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    return kept | {
        VARIABLE: str(clock),
        "MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db",
        "PATH": programs,
    }


def children_seconds() -> float:
    """Return the processor time of all ended children of this process, in seconds; Windows counts none."""
    usage = os.times()
    return usage.children_user + usage.children_system
