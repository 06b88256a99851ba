"""The code blocks of README.md and docs/: parse them, and run those of a page one after another in one session."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.fixtures.demo import ROOT
from tests.fixtures.server import free_port
from tests.template.rendering import ENVIRONMENT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Languages of blocks; only `sh` and `python` are run.
LANGUAGES = {"sh", "python", "yaml", "toml", "json", "nginx", "text"}
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>.*)\n(?P<text>(?:.*\n)*?)(?P=indent)```$", re.M)
#: `<!-- not run: reason -->` above a block says why no test runs it.
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>[^\n]+) -->\n\s*\Z")
#: A command that runs until it is stopped; the commands below it need it.
SERVE = re.compile(r"^(uv run )?skline serve\b(?!.*--check)[^#\n]*", re.M)
START_SECONDS = 120


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    #: Why it is not run; None if it is.
    reason: str | None


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [
        Block(
            match["language"],
            "".join(line.removeprefix(match["indent"]) for line in match["text"].splitlines(keepends=True)),
            above["reason"] if (above := NOT_RUN.search(page[: match.start()])) else None,
        )
        for match in FENCE.finditer(page)
    ]


@dataclass
class Session:
    """A shell in a project, in which the blocks of one page run as a reader would run them.

    Attributes
    ----------
    folder : Path
        The current folder; `cd` in a block changes it for the later ones.
    home : Path
        The home folder.
    words : dict of str to str
        What stands on the pages in place of a value of the reader's own, and the value.
    """

    folder: Path
    home: Path
    words: dict[str, str]
    port: int = field(default_factory=free_port)
    service: subprocess.Popen[bytes] | None = None
    #: The blocks in Python so far: a later one may use their names.
    script: str = ""

    def run(self, block: Block) -> str:
        """Run a block; returns what it printed. A command that fails is an AssertionError."""
        text = block.text
        for word, value in {**self.words, "localhost:8000": f"localhost:{self.port}"}.items():
            text = text.replace(word, value)
        if block.language == "python" and "def test_" in text:
            name = "tests/model/test_of_the_page.py"
            (self.folder / name).write_text(text)
            return self._execute("bash", f"python -m pytest -q -n 0 {name}")
        if block.language == "python":
            self.script += text
            return self._execute("python", self.script)
        output, position = "", 0
        for match in SERVE.finditer(text):
            output += self._execute("bash", text[position : match.start()])
            self._serve(match[0])
            position = match.end()
        return output + self._execute("bash", text[position:])

    def stop(self) -> None:
        """Stop the service."""
        if self.service is not None:
            os.killpg(self.service.pid, signal.SIGTERM)
            self.service.wait(START_SECONDS)
            self.service = None

    def _environment(self) -> dict[str, str]:
        """Return the variables of a user whose project has this environment: `uv run` installs nothing."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SKLINE_", "PYTEST_"))}
        for name in ("MLFLOW_TRACKING_URI", "VIRTUAL_ENV", "PYTHONPATH"):
            kept.pop(name, None)
        return (
            kept
            | ENVIRONMENT
            | {
                "HOME": str(self.home),
                "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ["PATH"]]),
                "UV_PROJECT_ENVIRONMENT": sys.prefix,
                "UV_NO_SYNC": "1",
                "SKLINE_PORT": str(self.port),
            }
        )

    def _execute(self, program: str, text: str) -> str:
        if not text.strip():
            return ""
        state = self.home / "folder"
        if program == "bash":
            command = ["bash", "-euo", "pipefail", "-c", f'{text}\npwd -P > "$HOME/folder"']
        else:
            command = ["env", f"PYTHONPATH=src{os.pathsep}.", sys.executable, "-c", text]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        if program == "bash":
            self.folder = Path(state.read_text().strip())
        return done.stdout + done.stderr

    def _serve(self, command: str) -> None:
        """Start the service and wait until it is ready; one that runs already is stopped."""
        self.stop()
        log = self.home / "service.log"
        with log.open("wb") as output:
            self.service = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self._environment(),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.service.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/health/ready").status_code == 200:
                    return
            except httpx.ConnectError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"{command} is not ready:\n{log.read_text()[-4000:]}")
