"""Run the steps of workflows on this machine: those of GitHub in bash as it starts them, and the scripts of GitLab."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import yaml

from tests.fixtures.demo import ROOT

#: Programs that this machine may lack, that would install something, or would reach others: each call is a line of
#: `calls`. `uv run` runs the programs of the test's environment, and an image is `skline serve` in the project.
PROGRAMS = {
    "uv": (
        'case "$1" in\n'
        '  run) shift; while [[ "$1" == -* ]]; do shift 2; done; exec "$@" ;;\n'
        "  build) mkdir -p ../wheels; touch ../wheels/skline-1-py3-none-any.whl ;;\n"
        "  pip) echo skline==1 ;;\n"
        "esac"
    ),
    "uvx": 'case "$1" in copier) exec "$@" ;; pip) touch dist/skline-1-py3-none-any.whl ;; esac',
    "gh": "",
    "curl": 'if [[ "$*" == *127.0.0.1* ]]; then exec /usr/bin/curl "$@"; fi',
    "docker": (
        'case "$1" in\n'
        '  login) cat > "$CALLS/password" ;;\n'
        '  run) while [ $# -gt 0 ]; do [ "$1" != -e ] || export "${2?}"; shift; done\n'
        '    skline serve --port "$SERVICE_PORT" > "$CALLS/service.log" 2>&1 & echo $! ;;\n'
        '  rm) kill "$3" ;;\n'
        '  logs) cat "$CALLS/service.log" ;;\n'
        "esac\n"
        'for each; do [ "$last" != --metadata-file ] || echo "$METADATA" > "$each"; last=$each; done'
    ),
    "cosign": "",
}
_EXPRESSION = re.compile(r"\$\{\{ *(.+?) *\}\}")
#: What workflows of all kinds have in common: the steps that people can run as well.
_SHARED = re.compile(r"uv run (?:just|dvc|skline) \w+|deploy/image\.sh \w+")
#: Keys of .gitlab-ci.yml that are no jobs.
_GLOBAL = {"stages", "include", "workflow", "default"}


def steps_of(path: Path, job: str) -> list[dict[str, Any]]:
    """Return the steps of a job of GitHub that run commands."""
    steps = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"][job]["steps"]
    return [step for step in steps if "run" in step]


def gitlab_jobs(path: Path) -> dict[str, dict[str, Any]]:
    """Return the jobs of a pipeline of GitLab by their names, with what they extend."""
    content: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))

    def resolved(job: dict[str, Any]) -> dict[str, Any]:
        extends = job.get("extends", [])
        merged: dict[str, Any] = {}
        for each in [*([extends] if isinstance(extends, str) else extends)]:
            merged = _deep_merge(merged, resolved(content[each]))
        return _deep_merge(merged, job)

    return {name: resolved(job) for name, job in content.items() if name not in _GLOBAL and not name.startswith(".")}


def _deep_merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _deep_merge(merged[key], value) if both else value
    return merged


def shared_steps(scripts: list[str]) -> list[str]:
    """Return the commands of scripts that people can run as well, in order: recipes, commands of skline and DVC."""
    return _SHARED.findall("\n".join(scripts))


def project_justfile() -> str:
    """Return the justfile of a rendered project."""
    return re.sub(r"\{% (end)?raw %\}", "", (ROOT / "justfile.jinja").read_text(encoding="utf-8"))


class Runner:
    """A folder with the checked-out project, and what GitHub or GitLab tells each step.

    Parameters
    ----------
    project : Path
        The checked-out project; it gets the justfile of a rendered project, unless it has one.
    folder : Path
        For temporary files and the stand-ins of programs.
    environment : Mapping
        Variables of every step.
    values : Mapping
        Expression → its value, such as `github.run_id`; an output of a step is added when it is written.
    """

    def __init__(
        self, project: Path, folder: Path, environment: Mapping[str, str], values: Mapping[str, str] | None = None
    ) -> None:
        self.project, self.folder, self.values = project, folder, dict(values or {})
        self.environment = {**environment, "CALLS": str(folder), "RUNNER_TEMP": str(folder)}
        self._groups: list[int] = []
        (folder / "bin").mkdir(parents=True)
        for name, action in PROGRAMS.items():
            self.write_program(name, f'echo "{name} $*" >> "$CALLS/calls"\n{action}')
        (folder / "calls").touch()
        if not (project / "justfile").exists():
            (project / "justfile").write_text(project_justfile(), encoding="utf-8")

    def write_program(self, name: str, script: str) -> None:
        """Write a stand-in of a program."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def run(self, step: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run a step of GitHub."""
        files = {name: self.folder / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        assert not _EXPRESSION.search(step["run"]), "an expression in a script is code of whoever gives its value"
        variables = {name: self.evaluate(str(value)) for name, value in step.get("env", {}).items()}
        done = self._run_script(
            step["run"],
            {name: str(file) for name, file in files.items()} | variables,
            self.project / step.get("working-directory", "."),
        )
        if files["GITHUB_OUTPUT"].exists():
            for line in files["GITHUB_OUTPUT"].read_text().splitlines():
                name, _, value = line.partition("=")
                self.values[f"steps.{step['id']}.outputs.{name}"] = value
            files["GITHUB_OUTPUT"].unlink()
        return done

    def run_job(self, job: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        """Run the script of a job of GitLab; programs that it installs before are there."""
        variables: dict[str, str] = {}
        for name, value in job.get("variables", {}).items():
            if name not in self.environment:
                variables[name] = Template(str(value)).safe_substitute(self.environment | variables)
        return self._run_script("\n".join(job["script"]), variables, self.project)

    def _run_script(self, script: str, variables: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
        path = self.folder / "step.sh"
        path.write_text(script)
        programs = os.pathsep.join([str(self.folder / "bin"), self.environment["PATH"]])
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(path)]
        with subprocess.Popen(
            command, cwd=folder, env={**self.environment, **variables, "PATH": programs}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            if "&\n" in script:
                self._groups.append(process.pid)
            stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)

    def end(self) -> None:
        """End what the steps have left running, as GitHub does at the end of a job."""
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)

    def evaluate(self, text: str) -> str:
        """Replace expressions by their values: of `a || b` that of the first that has one."""

        def value_of(match: re.Match[str]) -> str:
            for name in match[1].split(" || "):
                if value := name.strip("'") if name.startswith("'") else self.values.get(name, ""):
                    return value
            return ""

        return _EXPRESSION.sub(value_of, text)

    def calls(self, program: str) -> list[str]:
        """Return the calls of a program so far."""
        lines = (self.folder / "calls").read_text().splitlines()
        return [line.removeprefix(f"{program} ") for line in lines if line.startswith(f"{program} ")]
