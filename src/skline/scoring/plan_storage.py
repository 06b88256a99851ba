"""Store a plan as bytes: a service that loads one needs neither scikit-learn nor pandas to score.

The bytes are a pickle, so they are loaded only from an artifact whose digest was verified. They contain objects of this
package, of NumPy and of scikit-learn (the trees of a forest), so only the same code may use them: they start with a
digest of that code and of these versions. A plan repeats how the library of the estimator, such as LightGBM, predicts,
and may hold its objects; so it is used with the version that the manifest records, and no other.
"""

import hashlib
import pickle
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import skline.contract.spec
import skline.features.text
import skline.features.time
from skline.artifact.provenance import differing_libraries
from skline.errors import SklineError
from skline.scoring.plan import Plan

#: Length of the digest with which the bytes start: a sha256 in hexadecimal.
DIGEST_LENGTH = 64
#: Modules beyond this package whose objects a plan may hold.
OTHER_MODULES: tuple[Any, ...] = (skline.contract.spec, skline.features.text, skline.features.time)
#: Distributions whose objects a plan may hold.
LIBRARIES = ("numpy", "scikit-learn", "scipy")
#: What plans do not depend on, although pipelines do.
NOT_OF_PLANS = ("joblib", "pandas", "python")


class UnusablePlan(SklineError):
    """The stored plan cannot be used by this code; it must be built again from the pipeline."""


def dump_plan(plan: Plan) -> bytes:
    """Serialise a plan."""
    return code_digest().encode() + pickle.dumps(plan, protocol=5)


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
        If other versions of the libraries are installed, other code wrote it, or it cannot be unpickled for any reason.
    """
    if different := differing_libraries(_of_plans(libraries)):
        made_with = ", ".join(f"{name} {libraries[name]}" for name in different)
        present = ", ".join(f"{name} {found}" if found else f"no {name}" for name, found in different.items())
        raise UnusablePlan(f"it was made with {made_with}; {present} is installed here")
    written_by = content[:DIGEST_LENGTH].decode("ascii", "replace")
    if written_by != code_digest():
        raise UnusablePlan(f"it was written by code {written_by[:12]}, this is code {code_digest()[:12]}")
    try:
        plan = pickle.loads(content[DIGEST_LENGTH:])  # noqa: S301 - the artifact's digest was verified
    except Exception as error:  # unpickling runs constructors, so any exception is possible
        raise UnusablePlan(f"it cannot be unpickled ({type(error).__name__}: {error})") from error
    if not isinstance(plan, Plan):
        raise UnusablePlan(f"it is a {type(plan).__name__} instead of a Plan")
    return plan


def _of_plans(libraries: Mapping[str, str]) -> dict[str, str]:
    """Return the libraries that a plan depends on."""
    return {name: release for name, release in libraries.items() if name not in NOT_OF_PLANS}


@cache
def code_digest() -> str:
    """Return the sha256 of the sources that a plan depends on, and of the versions of its libraries, in hexadecimal.

    Patch releases of the libraries do not count: they keep what they pickle, and the golden rows verify the results.
    """
    files = [*sorted(Path(__file__).parent.rglob("*.py")), *(Path(module.__file__) for module in OTHER_MODULES)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    for library in LIBRARIES:
        digest.update(f"{library} {'.'.join(version(library).split('.')[:2])}\0".encode())
    return digest.hexdigest()
