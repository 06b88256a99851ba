"""The remote of DVC, where tables and models are stored outside git: which it is, what is missing there, its access.

DVC does the work, as a process of its own; its commands are used as they are.
"""

import importlib.util
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from skline.errors import SklineError
from skline.paths import DVC_LOCK
from skline.redaction import redact

#: Seconds that DVC gets for requests to a remote.
TIMEOUT = 120.0
#: Folder below the remote in which the check writes and deletes a file.
CHECK_FOLDER = "skline-check"
#: The hash of a directory in DVC's messages.
_DIRECTORY_HASH = re.compile(r"\bmd5: ([0-9a-f]{32}\.dir)\b")


class RemoteKind(NamedTuple):
    """A kind of remote.

    Attributes
    ----------
    title : str
    scheme : str
        The beginning of its address, as DVC writes it.
    module : str
        What DVC imports for it.
    extra : str
        The extra of dvc that installs the module.
    credentials : str
        Where credentials are found; everything else is in `.dvc/config.local`.
    """

    title: str
    scheme: str
    module: str
    extra: str
    credentials: str


KINDS = (
    RemoteKind("S3", "s3://", "dvc_s3", "s3", "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws"),
    RemoteKind(
        "Google Cloud Storage", "gs://", "dvc_gs", "gs",
        "GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`",
    ),
    RemoteKind(
        "Azure Storage", "azure://", "dvc_azure", "azure",
        "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or `az login`",
    ),
    RemoteKind("SSH", "ssh://", "dvc_ssh", "ssh", "an agent, or the keys in ~/.ssh"),
)  # fmt: skip
#: Beginnings of addresses that people write → how DVC writes them.
SCHEMES = {"az://": "azure://", "gcs://": "gs://", "s3a://": "s3://"}


class Remote(NamedTuple):
    """The default remote: its name, and its settings with the address as `url`; `others` are the names of the rest."""

    name: str
    settings: Mapping[str, str]
    others: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The address, or the path from the root of the machine."""
        return self.settings["url"]


class CloudState(NamedTuple):
    """What is not in both places, by name: to push, to pull, and in neither of them.

    Of the latter `lost` are outputs of stages, and `lost_tables` what `.dvc` files track, which no stage makes.
    """

    to_push: list[str]
    to_pull: list[str]
    lost: list[str]
    lost_tables: tuple[str, ...] = ()


def dvc_address(url: str) -> str:
    """Return an address as DVC writes it.

    Raises
    ------
    SklineError
        If it holds a secret, or DVC has no such kind.
    """
    if redact(url) != url:
        raise SklineError(
            "the address holds a password, a token or a signature, and .dvc/config is committed: remove it, and give "
            "the credentials in the environment or with `dvc remote modify --local`"
        )
    for scheme, known in SCHEMES.items():
        if url.startswith(scheme):
            url = known + url.removeprefix(scheme)
    if "://" in url and kind_of(url) is None:
        known = ", ".join(kind.scheme for kind in KINDS)
        raise SklineError(f"{url.partition('://')[0]}:// is no remote that skline adds ({known}, or a path); "
                          "`dvc remote add` knows more kinds")  # fmt: skip
    return url


def kind_of(url: str) -> RemoteKind | None:
    """Return the kind of an address; None for a path, and for kinds that are not checked here."""
    return next((kind for kind in KINDS if url.startswith(kind.scheme)), None)


def missing_plugin(url: str) -> str | None:
    """Return the command that installs what DVC lacks for an address; None if it lacks nothing."""
    kind = kind_of(url)
    if kind is None or importlib.util.find_spec(kind.module) is not None:
        return None
    return f"uv add --group train 'dvc[{kind.extra}]'"


def add_remote(root: Path, name: str, url: str) -> None:
    """Add the default remote to .dvc/config; SklineError if DVC rejects it, or has a remote of that name."""
    run_dvc(root, "remote", "add", "--default", name, url)


def default_remote(root: Path) -> Remote | None:
    """Return the default remote of a project; None without one."""
    return parse_config(run_dvc(root, "config", "--list"))


def parse_config(text: str) -> Remote | None:
    """Return the default remote that `dvc config --list` names; None without one."""
    settings = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    name = settings.get("core.remote")
    prefix = f"remote.{name}."
    own = {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}
    if name is None or "url" not in own:
        return None
    names = {key.split(".")[1] for key in settings if key.startswith("remote.")}
    return Remote(name, own, tuple(sorted(names - {name})))


def cloud_state(root: Path, timeout: float = TIMEOUT) -> CloudState:
    """Compare the outputs of dvc.lock and the tracked tables with the remote.

    Raises
    ------
    SklineError
        If the remote cannot be reached, or denies access; one line.
    """
    done = _run(root, "status", "--cloud", "--json", timeout=timeout)
    states, recorded = json.loads(done.stdout or "{}"), _recorded_outputs(root)
    names: dict[str, set[str]] = {state: set() for state in ("new", "deleted", "missing")}
    for name, state in states.items():
        names[state].add(next((out for out in recorded if name.startswith(f"{out}/")), name))
    # A directory whose list of files is missing is not among the states: a warning has its hash.
    absent = set(_DIRECTORY_HASH.findall(done.stderr))
    names["missing"] |= {out for out, digest in recorded.items() if digest in absent}
    tables = {name for name in names["missing"] if (root / f"{name}.dvc").is_file()}
    return CloudState(
        sorted(names["new"]), sorted(names["deleted"]), sorted(names["missing"] - tables), tuple(sorted(tables))
    )


def _recorded_outputs(root: Path) -> dict[str, str]:
    """Return the hash of each output that dvc.lock or a .dvc file records; those that cannot be read are left out."""
    lists = [(Path(), stage) for stage in (_read_yaml(root / DVC_LOCK).get("stages") or {}).values()]
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(folder, name) for name in files if name.endswith(".dvc")]
        lists += [(path.parent.relative_to(root), _read_yaml(path)) for path in paths]
    outputs = [(folder, out) for folder, content in lists for out in content.get("outs") or []]
    return {(folder / out["path"]).as_posix(): out.get("md5", "") for folder, out in outputs}


def _read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a file; empty if there is none."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def check_writable(remote: Remote, timeout: float = TIMEOUT) -> None:
    """Write a file to a folder of its own in the remote, with DVC and the remote's settings, and delete it.

    Raises
    ------
    SklineError
        If it cannot be written or deleted.
    """
    if "://" not in remote.url:
        _check_path(Path(remote.url))
        return
    with tempfile.TemporaryDirectory(prefix="skline-") as folder:
        root = Path(folder)
        (root / ".dvc").mkdir()
        (root / ".dvc/config").write_text(check_config(remote), encoding="utf-8")
        (root / "file").write_text(secrets.token_hex(), encoding="utf-8")
        run_dvc(root, "add", "file", timeout=timeout)
        run_dvc(root, "push", timeout=timeout)
        (root / "file.dvc").unlink()
        run_dvc(root, "gc", "--workspace", "--cloud", "--force", timeout=timeout)


def _check_path(path: Path) -> None:
    """Write a file to a folder, which DVC would make, and delete it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise SklineError(f"cannot write to {path}: {error.strerror}") from error


def check_config(remote: Remote) -> str:
    """Return the configuration of DVC for a folder below the remote."""
    settings = dict(remote.settings) | {"url": f"{remote.url.rstrip('/')}/{CHECK_FOLDER}"}
    lines = [f'    {key} = "{value}"' for key, value in settings.items()]
    core = ["[core]", "    no_scm = true", "    analytics = false", "    check_update = false",
            f"    remote = {remote.name}"]  # fmt: skip
    return "\n".join([*core, f"['remote \"{remote.name}\"']", *lines]) + "\n"


def run_dvc(root: Path, *arguments: str, timeout: float | None = None) -> str:
    """Run a command of DVC; returns its output.

    Raises
    ------
    SklineError
        If it fails or takes longer than `timeout` seconds; the message is DVC's, as one line without secrets.
    """
    return _run(root, *arguments, timeout=timeout).stdout


def _run(root: Path, *arguments: str, timeout: float | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "dvc", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 (DVC)
            command, cwd=root, capture_output=True, text=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise SklineError(
            f"`dvc {arguments[0]}` had no response after {timeout:.0f} s; check address, network and credentials"
        ) from error
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        message = " ".join((errors[0] if errors else done.stderr[-300:]).removeprefix("ERROR: ").split())
        raise SklineError(f"`dvc {arguments[0]}` failed: {redact(message)}")
    return done
