"""What is served, changed in one step: first the journal says so, then the manifest. And how it is taken back."""

import datetime as dt
import getpass
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skline import paths
from skline.artifact import Artifact
from skline.errors import SklineError
from skline.release import journal, manifest
from skline.release.experiment import BUCKETS
from skline.release.journal import Action, Entry, Journal
from skline.release.manifest import Arm, Flags, Release

#: Makes the parts of a release that change, from the one in force.
Change = Callable[[Release | None], dict[str, Any]]


@dataclass(frozen=True)
class Releases:
    """The releases in a directory: manifest, journal and artifacts."""

    folder: Path = paths.RELEASES

    @property
    def manifest(self) -> Path:
        """What is served."""
        return self.folder / paths.RELEASE.name

    @property
    def journal(self) -> Path:
        """What was served, and why."""
        return self.folder / paths.JOURNAL.name

    @property
    def artifacts(self) -> Path:
        """The released artifacts, by digest."""
        return self.folder / paths.RELEASED.name

    def current(self) -> Release | None:
        """The release in force; of a manifest that is damaged, what the journal says last."""
        try:
            return manifest.read(self.manifest)
        except SklineError:
            told = journal.read(self.journal).entries
            if not told:
                raise
            return told[-1].release

    def history(self) -> Iterator[Entry]:
        """The entries of what was in force, the newest first: without those that were never published."""
        told = journal.read(self.journal)
        release = self.current()
        entry = None if release is None else told.release(release.number)
        while entry is not None:
            yield entry
            entry = _before(told, entry)

    def change(self, action: Action, what: str, change: Change, **facts: Any) -> Entry:
        """Put a release in force.

        Parameters
        ----------
        change : callable
            Called under the lock with the release in force; what it returns replaces those parts of it.
        facts : fields of the journal's entry

        Raises
        ------
        SklineError
            If the change is refused or cannot be written; then nothing was changed.
        """
        with journal.locked(self.folder):
            current = self.current()
            parts = change(current)
            number = max(journal.read(self.journal).last_number, 0 if current is None else current.number) + 1
            now = dt.datetime.now(dt.UTC)
            flags = Flags() if current is None else current.flags
            release = Release(**({"flags": flags, "number": number, "published_at": now} | parts))
            follows = None if current is None else current.number
            entry = Entry(time=now, who=who(), action=action, what=what, follows=follows, release=release, **facts)
            journal.append(self.journal, entry)
            manifest.publish(self.manifest, release)
        return entry

    def rollback(self, to: int | None, why: str) -> Entry:
        """Serve again what was served before: the champion of release `to`, or without an experiment the one before.

        Without `to`, a running experiment is ended first: that is what changed last.
        """
        current = self.current()
        if current is None:
            raise SklineError(f"{self.manifest} is missing: nothing was promoted, so nothing can be taken back")
        if to is None and current.experiment is not None:
            words = f"ends {current.experiment.name}; {current.champion.version} answers alone"
            return self.change("rollback", words, _alone(current), why=why)
        found = self._earlier(current) if to is None else self._entry(to)
        [champion] = alone(found.release.champion)
        if champion.sha256 == current.champion.sha256 and current.experiment is None:
            raise SklineError(f"release {current.number} serves {champion.version} already, as release {to} did")
        Artifact.open(self.folder / champion.artifact, champion.sha256)
        words = f"{champion.version} as in release {found.release.number}, instead of {current.champion.version}"

        def change(release: Release | None) -> dict[str, Any]:
            check_unchanged(release, current)
            return {"arms": (champion,)}

        return self.change("rollback", words, change, why=why, restores=found.release.number)

    def abort(self, why: str) -> Entry:
        """End the running experiment; the champion answers alone."""
        current = self.current()
        if current is None or current.experiment is None or current.challenger is None:
            raise SklineError(
                "no experiment is running, so none can be ended; `skline releases` shows what is in force"
            )
        words = f"{current.experiment.name} of {current.challenger.version}; {current.champion.version} answers alone"
        return self.change("abort", words, _alone(current), why=why)

    def flag(self, name: str, *, on: bool, why: str) -> Entry:
        """Switch what a request may get."""

        def change(release: Release | None) -> dict[str, Any]:
            if release is None:
                raise SklineError("flags are part of a release, and there is none yet; run `skline promote` first")
            return kept(release) | {"flags": release.flags.model_copy(update={name: on})}

        return self.change("flag", f"{name} {'on' if on else 'off'}", change, why=why)

    def _entry(self, number: int) -> Entry:
        told = journal.read(self.journal)
        found = told.release(number)
        if found is None:
            known = [str(entry.release.number) for entry in told.entries]
            raise SklineError(f"{self.journal} tells of no release {number}; it has {', '.join(known) or 'none'}")
        return found

    def _earlier(self, current: Release) -> Entry:
        """The last release with another champion than now. What a rollback took back is passed over."""
        told = journal.read(self.journal)
        entry = told.release(current.number)
        while entry is not None:
            entry = told.release(entry.restores) if entry.restores is not None else _before(told, entry)
            if entry is not None and entry.release.champion.sha256 != current.champion.sha256:
                return entry
        raise SklineError(
            f"no release before {current.number} had another champion than {current.champion.version}; "
            "name one with --to, `skline releases` lists them"
        )


def kept(release: Release) -> dict[str, Any]:
    """What a change of something else leaves as it is."""
    return {"arms": release.arms, "experiment": release.experiment}


def who() -> str:
    """Who gives this command."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def alone(champion: Arm) -> tuple[Arm, ...]:
    """A champion without anybody beside it."""
    return (champion.model_copy(update={"name": "champion", "weight": BUCKETS, "mode": "live"}),)


def _alone(seen: Release) -> Change:
    def change(release: Release | None) -> dict[str, Any]:
        check_unchanged(release, seen)
        return {"arms": alone(seen.champion)}

    return change


def check_unchanged(release: Release | None, seen: Release | None) -> None:
    """Refuse to overwrite what another command has put in force meanwhile."""
    if (release and release.number) != (seen and seen.number):
        raise SklineError(f"release {release.number if release else 0} was published meanwhile; look and decide again")


def _before(told: Journal, entry: Entry) -> Entry | None:
    """The entry that was in force before; where the journal is damaged, the nearest one that is left."""
    if entry.follows is None:
        return None
    return next((one for one in reversed(told.entries) if one.release.number <= entry.follows), None)
