"""Store a plan as bytes: a service that loads one needs neither scikit-learn nor pandas to score.

The bytes are a line of text and a pickle. The line holds a digest of the code that plans are built of, because only the
same code may use the objects in the pickle, and the names of the libraries that define the others: NumPy always,
scikit-learn for the trees of a forest that no lookup table replaces. The pickle is loaded only from an artifact whose
digest was verified, and where these libraries are installed.

A plan repeats how the pipeline's libraries predict, such as scikit-learn and LightGBM. So where one of these is
installed, it has the version that the manifest records; where none is, the plan needs none.
"""

import hashlib
import io
import pickle
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from typing_extensions import override

import skline.contract.spec
import skline.features.arithmetic
import skline.features.text
import skline.features.time
from skline.artifact.provenance import differing_libraries, distributions_of, installed_version
from skline.errors import SklineError
from skline.scoring.plan import Plan

#: Modules beyond this package whose objects a plan may hold, or whose functions its expressions call.
OTHER_MODULES: tuple[Any, ...] = (
    skline.contract.spec,
    skline.features.arithmetic,
    skline.features.text,
    skline.features.time,
)
#: Distributions whose objects a plan may hold in an environment that serves stored plans alone.
ALWAYS_PRESENT = ("numpy",)
#: What plans do not depend on, although pipelines do.
NOT_OF_PLANS = ("joblib", "pandas", "python")


class UnusablePlan(SklineError):
    """The stored plan cannot be used by this code; it must be built again from the pipeline."""


def dump_plan(plan: Plan) -> bytes:
    """Serialise a plan."""
    payload = pickle.dumps(plan, protocol=5)
    return _first_line(_libraries_in(payload)) + payload


def load_plan(content: bytes, libraries: Mapping[str, str]) -> Plan:
    """Load a plan from verified bytes.

    Parameters
    ----------
    content : bytes
    libraries : mapping of version by name
        Those that the pipeline was fitted with, from the manifest.

    Raises
    ------
    UnusablePlan
        If a library that the plan needs is missing, one of the pipeline is installed in another version, other code
        wrote the plan, or it cannot be unpickled for any reason.
    """
    _require_same_libraries(content, libraries)
    line, _, payload = content.partition(b"\n")
    written_by = line.partition(b" ")[0].decode("ascii", "replace")
    if written_by != code_digest():
        raise UnusablePlan(f"it was written by code {written_by[:12]}, this is code {code_digest()[:12]}")
    try:
        plan = pickle.loads(payload)  # noqa: S301 - the artifact's digest was verified
    except Exception as error:  # unpickling runs constructors, so any exception is possible
        raise UnusablePlan(f"it cannot be unpickled ({type(error).__name__}: {error})") from error
    if not isinstance(plan, Plan):
        raise UnusablePlan(f"it is a {type(plan).__name__} instead of a Plan")
    return plan


def required_libraries(content: bytes) -> list[str]:
    """Return the distributions whose objects a stored plan holds; empty if the bytes are no stored plan."""
    line = content.partition(b"\n")[0].decode("ascii", "replace")
    return [name for name in line.partition(" ")[2].split(",") if name]


def _require_same_libraries(content: bytes, libraries: Mapping[str, str]) -> None:
    """Raise UnusablePlan if a required library is missing, or a library of the pipeline has another version."""
    if missing := [name for name in required_libraries(content) if installed_version(name) is None]:
        raise UnusablePlan(f"it holds objects of {', '.join(missing)}, which is not installed here")
    different = {name: found for name, found in differing_libraries(_of_plans(libraries)).items() if found is not None}
    if different:
        made_with = ", ".join(f"{name} {libraries[name]}" for name in different)
        present = ", ".join(f"{name} {found}" for name, found in different.items())
        raise UnusablePlan(f"it was made with {made_with}; {present} is installed here")


def _of_plans(libraries: Mapping[str, str]) -> dict[str, str]:
    """Return the libraries that a plan depends on."""
    return {name: release for name, release in libraries.items() if name not in NOT_OF_PLANS}


def _first_line(libraries: Sequence[str]) -> bytes:
    """Return the line before the pickle: the digest of this code, and the libraries that the pickle needs."""
    return f"{code_digest()} {','.join(libraries)}\n".encode()


def _libraries_in(payload: bytes) -> list[str]:
    """Return the distributions that define the objects of a pickle, beyond this engine."""
    recorder = _ModuleRecorder(io.BytesIO(payload))
    recorder.load()
    return distributions_of(recorder.modules)


class _ModuleRecorder(pickle.Unpickler):
    """Records the modules that a pickle of this process refers to: also those of functions of C, which name none."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.modules: set[str] = set()

    @override
    def find_class(self, module: str, name: str) -> Any:
        """Note the module of an object that is looked up by its name."""
        self.modules.add(module)
        return super().find_class(module, name)


@cache
def code_digest() -> str:
    """Return the sha256 of the sources that a plan depends on, in hexadecimal."""
    files = [*sorted(Path(__file__).parent.rglob("*.py")), *(Path(module.__file__) for module in OTHER_MODULES)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
