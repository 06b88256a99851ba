"""The releases in a directory: publish a change of what is served, and roll it back.

Every change is written to the journal before its manifest is put in force, under one lock.
"""

import getpass
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from skline import clock, paths
from skline.artifact import Artifact
from skline.errors import SklineError
from skline.files import read_json_lines
from skline.release.experiment import BUCKETS
from skline.release.journal import Action, Entry, Journal, append_entry, exclusive_lock, read_journal
from skline.release.manifest import Arm, Flags, Release, is_pending, publish_manifest, read_manifest
from skline.release.registered import RegisteredVersion

#: Returns the fields of the new release, given the release in force.
BuildRelease = Callable[[Release | None], dict[str, Any]]


@dataclass(frozen=True)
class ReleaseStore:
    """The releases in a directory: manifest, journal and artifacts."""

    folder: Path = paths.RELEASES

    @property
    def manifest(self) -> Path:
        """The file that says what is served."""
        return self.folder / paths.RELEASE.name

    @property
    def journal(self) -> Path:
        """The file that lists all releases."""
        return self.folder / paths.JOURNAL.name

    @property
    def looks(self) -> Path:
        """The file of the looks of A/B tests."""
        return self.folder / paths.LOOKS.name

    @property
    def registered(self) -> Path:
        """The record of registered versions."""
        return self.folder / paths.REGISTERED.name

    @property
    def artifacts(self) -> Path:
        """The released artifacts, by digest."""
        return self.folder / paths.RELEASED.name

    def current(self) -> Release | None:
        """Return the release in force; if the manifest is damaged, the last one of the journal that was published."""
        try:
            return read_manifest(self.manifest)
        except SklineError:
            for entry in reversed(read_journal(self.journal).entries):
                if not is_pending(self.manifest, entry.release.number):
                    return entry.release
            raise

    def history(self) -> Iterator[Entry]:
        """Yield the entries of releases that were in force, newest first; never published ones are left out."""
        journal = read_journal(self.journal)
        release = self.current()
        entry = None if release is None else journal.entry(release.number)
        while entry is not None:
            yield entry
            entry = _previous(journal, entry)

    def known_versions(self) -> dict[str, str]:
        """Return the version of each artifact that was registered or released, by digest."""
        lines = read_json_lines(self.registered, RegisteredVersion).values
        known = {line.artifact_sha256: f"{line.model}/{line.version}" for line in lines}
        entries = read_journal(self.journal).entries
        return known | {arm.sha256: arm.version for entry in entries for arm in entry.release.arms}

    def publish(self, action: Action, what: str, build: BuildRelease, **fields: Any) -> Entry:
        """Put a release in force.

        Parameters
        ----------
        action, what
            What the journal records.
        build : callable
            Called under the lock with the release in force; returns the fields of the new release: its arms, and its
            experiment and flags where they differ from the default and from the flags in force.
        fields
            Other fields of the journal's entry.

        Raises
        ------
        SklineError
            If `build` rejects the change, or it cannot be written; then nothing was changed.
        """
        with exclusive_lock(self.folder):
            current = self.current()
            parts = build(current)
            number = max(read_journal(self.journal).last_number, 0 if current is None else current.number) + 1
            now = clock.now()
            flags = Flags() if current is None else current.flags
            release = Release(**({"flags": flags, "number": number, "published_at": now} | parts))
            follows = None if current is None else current.number
            entry = Entry(
                time=now, who=current_user(), action=action, what=what, follows=follows, release=release, **fields
            )
            publish_manifest(self.manifest, release, partial(append_entry, self.journal, entry))
        return entry

    def rollback(self, to: int | None, why: str) -> Entry:
        """Return to the champion of release `to`.

        Without `to`, a running experiment is ended, because it is the latest change; if there is none, the previous
        champion is served again.

        Raises
        ------
        SklineError
            If there is no such release, its champion is in force already, or its artifact is missing or changed.
        """
        current = self.current()
        if current is None:
            raise SklineError(f"{self.manifest} is missing: nothing was promoted, so there is nothing to roll back")
        if to is None and current.experiment is not None:
            what = f"ends {current.experiment.name}; {current.champion.version} gets all requests"
            return self.publish("rollback", what, _without_experiment(current), why=why)
        earlier = self._previous_champion(current) if to is None else self._entry(to)
        [champion] = champion_only(earlier.release.champion)
        if champion.sha256 == current.champion.sha256 and current.experiment is None:
            raise SklineError(f"release {current.number} serves {champion.version} already, as release {to} did")
        Artifact.open(champion.folder(self.folder), champion.sha256)
        what = f"{champion.version} as in release {earlier.release.number}, instead of {current.champion.version}"

        def build(release: Release | None) -> dict[str, Any]:
            require_unchanged(release, current)
            return {"arms": (champion,)}

        return self.publish("rollback", what, build, why=why, restores=earlier.release.number)

    def abort(self, why: str) -> Entry:
        """End the running experiment: the champion gets all requests."""
        current = self.current()
        if current is None or current.experiment is None or current.challenger is None:
            raise SklineError(
                "no experiment is running; `skline releases` lists the releases and marks the current one"
            )
        what = (
            f"{current.experiment.name} of {current.challenger.version}; {current.champion.version} gets all requests"
        )
        return self.publish("abort", what, _without_experiment(current), why=why)

    def set_flag(self, name: str, *, on: bool, why: str) -> Entry:
        """Switch a feature on or off."""

        def build(release: Release | None) -> dict[str, Any]:
            if release is None:
                raise SklineError("flags belong to a release, and there is none yet; run `uv run skline promote` first")
            return same_arms(release) | {"flags": release.flags.model_copy(update={name: on})}

        return self.publish("flag", f"{name} {'on' if on else 'off'}", build, why=why)

    def _entry(self, number: int) -> Entry:
        journal = read_journal(self.journal)
        entry = journal.entry(number)
        if entry is None:
            numbers = [str(each.release.number) for each in journal.entries]
            raise SklineError(
                f"{self.journal} has no release {number}; its releases are {', '.join(numbers) or 'none'}"
            )
        return entry

    def _previous_champion(self, current: Release) -> Entry:
        """Return the last release with another champion; releases that a rollback undid are skipped."""
        journal = read_journal(self.journal)
        entry = journal.entry(current.number)
        while entry is not None:
            entry = journal.entry(entry.restores) if entry.restores is not None else _previous(journal, entry)
            if entry is not None and entry.release.champion.sha256 != current.champion.sha256:
                return entry
        champion = current.champion
        undone = next(
            (each.release for each in self.history() if each.release.champion.sha256 != champion.sha256), None
        )
        if undone is None:
            raise SklineError(f"{champion.version} is the only champion so far, so there is nothing to roll back to")
        raise SklineError(
            f"{champion.version} is the first champion, and the releases after it were rolled back; to serve "
            f"{undone.champion.version} again, run `uv run skline rollback --to {undone.number}`"
        )


def champion_only(champion: Arm) -> tuple[Arm, ...]:
    """Return the arms of a release without an experiment."""
    return (champion.model_copy(update={"name": "champion", "weight": BUCKETS, "mode": "live"}),)


def same_arms(release: Release) -> dict[str, Any]:
    """Return the fields of a release that keeps arms and experiment."""
    return {"arms": release.arms, "experiment": release.experiment}


def require_unchanged(release: Release | None, expected: Release | None) -> None:
    """Reject a change if another command has published a release since `expected` was read."""
    if (release and release.number) != (expected and expected.number):
        raise SklineError(
            f"release {release.number if release else 0} was published by another command meanwhile; "
            "check `skline releases` and repeat the command if it still applies"
        )


def current_user() -> str:
    """Return user and host, for the journal."""
    try:
        name = getpass.getuser()
    except (ImportError, KeyError, OSError):  # in a container the user id may have no name
        if sys.platform == "win32":
            name = "unknown"
        else:
            name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def _without_experiment(current: Release) -> BuildRelease:
    def build(release: Release | None) -> dict[str, Any]:
        require_unchanged(release, current)
        return {"arms": champion_only(current.champion)}

    return build


def _previous(journal: Journal, entry: Entry) -> Entry | None:
    """Return the entry that was in force before; where the journal is damaged, the nearest earlier one."""
    if entry.follows is None:
        return None
    return next((each for each in reversed(journal.entries) if each.release.number <= entry.follows), None)
