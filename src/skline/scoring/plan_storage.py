"""Store a plan as bytes: a service that loads one needs neither scikit-learn nor pandas to score.

The bytes are a pickle, so they are loaded only from an artifact whose digest was verified. They contain objects of this
package, so only the same code may use them: they start with a digest of that code.
"""

import hashlib
import pickle
from functools import cache
from pathlib import Path

import skline.features.text
import skline.features.time
from skline.errors import SklineError
from skline.scoring.plan import Plan

#: Length of the digest with which the bytes start: a sha256 in hexadecimal.
DIGEST_LENGTH = 64


class UnusablePlan(SklineError):
    """The stored plan cannot be used by this code; it must be built again from the pipeline."""


def dump_plan(plan: Plan) -> bytes:
    """Serialise a plan."""
    return code_digest().encode() + pickle.dumps(plan, protocol=5)


def load_plan(content: bytes) -> Plan:
    """Load a plan from verified bytes.

    Raises
    ------
    UnusablePlan
        If other code wrote it, or it cannot be unpickled for any reason.
    """
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


@cache
def code_digest() -> str:
    """Return the sha256 of the sources that a plan depends on, in hexadecimal."""
    folder = Path(__file__).parent
    files = [*sorted(folder.rglob("*.py")), Path(skline.features.text.__file__), Path(skline.features.time.__file__)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
