"""A virtual environment for each server, built with uv below .cache/benchmarks and reused by later runs."""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from skline.errors import SklineError

#: A pickled pipeline can be loaded only by the versions that wrote it.
PINNED = ("scikit-learn", "numpy", "pandas", "joblib", "scipy")
INSTALL_SECONDS = 900


class NotInstallable(SklineError):
    """The requirements of an alternative cannot be installed; the message is the reason, on one line."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment: its interpreter, and the version of every package by name."""

    python: Path
    versions: dict[str, str]


def build(requirements: tuple[str, ...], cache: Path, root: Path) -> Environment:
    """Build an environment, or return the one that an earlier run built from the same requirements.

    It has this Python, our versions of scikit-learn, NumPy and pandas, no package newer than the project's own
    `exclude-newer`, and compiled bytecode.

    Raises
    ------
    NotInstallable
        If the requirements cannot be installed with these versions.
    """
    pins = [f"{package}=={importlib.metadata.version(package)}" for package in PINNED]
    newest = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"]
    specifiers = [*requirements, *pins, "--exclude-newer", newest]
    key = hashlib.sha256(json.dumps([*specifiers, platform.python_version()]).encode()).hexdigest()[:12]
    folder = cache / f"{package_name(requirements[0])}-{key}"
    python, done = folder / "bin" / "python", folder / "versions.json"
    if not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        uv("venv", "--quiet", "--python", sys.executable, str(folder))
        uv("pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *specifiers)
        listed = json.loads(uv("pip", "list", "--format", "json", "--python", str(python)))
        done.write_text(json.dumps({package["name"]: package["version"] for package in listed}))
    return Environment(python, json.loads(done.read_text()))


def package_name(requirement: str) -> str:
    """Return the name of the package that a requirement names."""
    return re.split(r"[\[<>=!~; ]", requirement)[0]


def uv(*arguments: str) -> str:
    """Run uv and return its output."""
    if shutil.which("uv") is None:
        raise SklineError("`uv` is not on PATH; install it (`pip install uv`) and run again")
    env = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    try:
        done = subprocess.run(
            ["uv", *arguments], capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS, env=env
        )
    except subprocess.TimeoutExpired as error:
        raise NotInstallable(f"`uv {' '.join(arguments[:2])}` took more than {INSTALL_SECONDS} s") from error
    if done.returncode:
        raise NotInstallable(shortened(done.stderr))
    return done.stdout


def shortened(text: str) -> str:
    """Return an error message on one line, without URLs and absolute paths."""
    text = re.sub(r"https?://\S+", "…", " ".join(text.split()))
    text = re.sub(r"(?<![\w.])(?:/[\w.+@-]+){2,}", "…", text)
    return text if len(text) <= 400 else f"{text[:397]}…"
