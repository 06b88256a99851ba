"""The order of the tests: each worker of pytest-xdist starts with some of the longest drills."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.demo import ROOT
from tests.fixtures.order import LONGEST, longest_first


@dataclass(frozen=True)
class Item:
    path: Path
    number: int


def parts_of(items: list[Any], workers: int) -> list[list[Any]]:
    """Return what each worker starts with, as pytest-xdist divides a list that is to be stolen from."""
    parts, left = [], list(items)
    for number in range(workers):
        size = len(left) // (workers - number)
        parts.append(left[:size])
        left = left[size:]
    return parts


def make_items(long_files: int) -> list[Any]:
    names = [f"skline/test_{number}.py" for number in range(40)] + list(LONGEST[:long_files])
    return [Item(Path("/p/tests", name), number) for name in names for number in range(3)]


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("long_files", [0, 1, 7])
def test_longest_files_are_whole_at_the_start_of_the_workers_parts(workers: int, long_files: int) -> None:
    items = make_items(long_files)
    ordered = longest_first(items, workers)
    assert sorted(ordered, key=str) == sorted(items, key=str)
    parts = parts_of(ordered, workers)
    for place, name in enumerate(LONGEST[:long_files]):
        [part] = [part for part in parts if any(item.path.as_posix().endswith(name) for item in part)]
        files = list(dict.fromkeys(item.path for item in part))
        assert files.index(Path("/p/tests", name)) == place // workers


def test_an_order_without_long_files_is_kept() -> None:
    items = make_items(0)
    assert longest_first(items, 3) == items


@pytest.mark.parametrize("name", LONGEST)
def test_longest_files_are_drills(name: str) -> None:
    assert "mark.slow" in (ROOT / "tests" / name).read_text()
