"""What libraries do at their own start, done later or once.

Some import large packages that a stage never uses. `importlib.util.LazyLoader` does not help where they write
`from package import name`, because that asks the package for the name at once. And some ask again and again which
plugins are installed.
"""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def defer(name: str, later: Sequence[str]) -> None:
    """Let the import of a package cost nothing until it is used.

    Parameters
    ----------
    name : str
        Of the package; nothing happens if it is loaded already.
    later : sequence of str
        Functions and objects of it that may be imported by name without loading it. Any other name loads it at once,
        and so does a submodule.
    """
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None:
        return
    deferred = sys.modules[name] = Deferred(spec, later)
    sys.meta_path.insert(0, _Submodules())
    outer, _, inner = name.rpartition(".")
    if outer:
        setattr(sys.modules[outer], inner, deferred)


def read_entry_points_once() -> None:
    """Let `importlib.metadata.entry_points` read what is installed once, not each time that a library asks for plugins.

    Each time it opens a file or more of every package: MLflow asks nine times, before it has done anything. It is for a
    process that installs nothing while it runs, and stays so until its end.
    """
    from importlib import metadata

    read = functools.cache(metadata.entry_points)

    def select(**wanted: Any) -> Any:
        return read().select(**wanted)

    vars(metadata).update(entry_points=select)


class Deferred(ModuleType):
    """Stands in `sys.modules` for a package."""

    def __init__(self, spec: ModuleSpec, later: Sequence[str]) -> None:
        super().__init__(spec.name)
        self.__path__ = list(spec.submodule_search_locations or ())
        for name in later:
            setattr(self, name, _Later(spec.name, name))

    def load(self) -> None:
        """Let the package itself take this one's place."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
            importlib.import_module(self.__name__)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.load()
        return getattr(sys.modules[self.__name__], name)


def fetch(package: str, name: str) -> Any:
    """Return what `name` means in the package itself, which is loaded if need be."""
    module = importlib.import_module(package)
    if isinstance(module, Deferred):
        module.load()
    return getattr(sys.modules[package], name)


class _Later:
    """Something of a deferred package, fetched when it is called, pickled or asked for an attribute."""

    def __init__(self, package: str, name: str) -> None:
        self._package, self._name = package, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return fetch(self._package, self._name)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(fetch(self._package, self._name), name)

    def __reduce__(self) -> tuple[Any, ...]:
        return fetch, (self._package, self._name)


class _Submodules(MetaPathFinder, Loader):
    """Loads a deferred package before a submodule of it is imported: the package may import that itself."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        """Load the package; what it imported is found here, the rest by Python's own finders."""
        package = sys.modules.get(fullname.rpartition(".")[0])
        if not isinstance(package, Deferred):
            return None
        package.load()
        return importlib.util.spec_from_loader(fullname, self) if fullname in sys.modules else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the submodule that is there already."""
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it was executed when its package was."""
