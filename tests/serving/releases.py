"""Releases on disk for tests of the service: packaged artifacts, and manifests that name them."""

import datetime as dt
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from serving.app import create_app
from serving.settings import ServiceSettings
from skline.logs.settings import LogSettings
from skline.release.changes import Releases, alone, kept
from skline.release.experiment import BUCKETS, Experiment
from skline.release.manifest import Arm, Release
from skline.settings import Guards
from tests import demo
from tests.conftest import running, wait_until_loaded


class World:
    """A directory of releases, its log, and the service that follows it."""

    def __init__(self, folder: Path) -> None:
        self.releases = Releases(folder / "releases")
        self.log = LogSettings(
            database=str(folder / "log.db"), partitions=folder / "days", batch_ms=20, entity_column="dest"
        )

    def arm(self, packaged: demo.Packaged, name: str = "champion", weight: int = BUCKETS, mode: Any = "live") -> Arm:
        place = self.releases.artifacts / packaged.digest
        if not place.exists():
            shutil.copytree(packaged.folder, place)
        version = f"demo/{packaged.digest[:4]}"
        path = f"artifacts/{packaged.digest}"
        return Arm(name=name, version=version, artifact=path, sha256=packaged.digest, weight=weight, mode=mode)

    def promote(self, packaged: demo.Packaged) -> int:
        return self.releases.change("promote", "", lambda _: {"arms": alone(self.arm(packaged))}).release.number

    def begin(self, packaged: demo.Packaged, kind: Any, percent: float = 0, **more: Any) -> int:
        """Put a challenger beside the champion; a canary that runs goes on with another share."""
        weight = round(percent * BUCKETS / 100)

        def change(release: Release | None) -> dict[str, Any]:
            assert release is not None
            name = f"{kind}-{release.number}"
            new = Experiment(
                name=name, kind=kind, salt=secrets.token_hex(4), started_at=dt.datetime.now(dt.UTC),
                **({"guards": Guards(min_rows=50)} | more),
            )  # fmt: skip
            mode = "shadow" if kind == "shadow" else "live"
            champion = release.champion.model_copy(update={"weight": BUCKETS - weight})
            arms = champion, self.arm(packaged, "challenger", weight, mode)
            return {"arms": arms, "experiment": release.experiment or new}

        return self.releases.change(kind, "", change).release.number

    def flags(self, **flags: bool) -> int:
        def change(release: Release | None) -> dict[str, Any]:
            assert release is not None
            return kept(release) | {"flags": release.flags.model_copy(update=flags)}

        return self.releases.change("flag", "", change).release.number

    @contextmanager
    def serving(self, **settings: Any) -> Iterator[httpx.Client]:
        made = ServiceSettings(
            **({"release": self.releases.manifest, "watch_seconds": 0.05, "log": self.log} | settings)
        )
        with running(create_app(made)) as client:
            wait_until_loaded(client)
            yield client


def wait_for(client: httpx.Client, said: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Ask /info until it says what it should."""
    for _ in range(400):
        info: dict[str, Any] = client.get("/info").json()
        if said(info):
            return info
        time.sleep(0.05)
    raise AssertionError(info)


def in_force(client: httpx.Client, number: int) -> dict[str, Any]:
    return wait_for(client, lambda info: info["release"] == number)


def version_of(packaged: demo.Packaged) -> str:
    return f"demo@{packaged.digest[:12]}"
