"""Locks on files and folders exclude others until they are freed, also by the calls that Windows has."""

import importlib.util
import os
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from skline import locks
from skline.errors import SklineError


@pytest.fixture(params=["posix", "windows"])
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as it is, and as it is imported on Windows, with a stand-in for Windows' locks of bytes."""
    if request.param == "posix":
        return locks
    held: dict[tuple[int, int], int] = {}

    def locking(handle: int, mode: int, size: int) -> None:
        key = (os.fstat(handle).st_ino, os.lseek(handle, 0, os.SEEK_CUR))
        if held.setdefault(key, handle) != handle and is_open(held[key]):
            raise PermissionError(13, "Permission denied")
        held[key] = handle

    def is_open(handle: int) -> bool:
        try:
            os.fstat(handle)
        except OSError:
            return False
        return True

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "platform", "win32")
    spec = importlib.util.spec_from_file_location("skline_locks_of_windows", locks.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_lock_of_a_file_excludes_others_until_it_is_freed(module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "folder/lock"
    assert not module.is_locked(path)
    with module.file_lock(path, "busy"):
        assert module.is_locked(path)
        with pytest.raises(SklineError, match="busy"), module.file_lock(path, "busy"):
            pass
    assert not module.is_locked(path)
    with module.file_lock(path, "busy"):
        pass


def test_lock_of_a_folder_waits(module: ModuleType, tmp_path: Path) -> None:
    entered, order = threading.Event(), []

    def second() -> None:
        entered.wait()
        with module.folder_lock(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with module.folder_lock(tmp_path):
        entered.set()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_lock_leaves_the_position_in_the_file(module: ModuleType, tmp_path: Path) -> None:
    handle = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.write(handle, b"abc")
    module.lock(handle)
    assert os.lseek(handle, 0, os.SEEK_CUR) == 3
    os.close(handle)
