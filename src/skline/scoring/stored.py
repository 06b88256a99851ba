"""A plan as bytes: a service that is given one needs neither scikit-learn nor pandas to answer.

It is a pickle, so it is read only out of an artifact whose digest was verified. It holds objects of this
package, so it is of use to the same code alone: the bytes begin with a digest of that code.
"""

import hashlib
import pickle
from functools import cache
from pathlib import Path

import skline.clock
from skline.errors import SklineError
from skline.scoring.plan import Plan


class PlanOutdated(SklineError):
    """The stored plan was made by other code; it must be read out of the pipeline again."""


@cache
def code_digest() -> str:
    """Sha256 of the sources that a plan is made of, in hexadecimal."""
    folder = Path(__file__).parent
    files = [*sorted(folder.rglob("*.py")), Path(skline.clock.__file__)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def dump(plan: Plan) -> bytes:
    """Write a plan."""
    return code_digest().encode() + pickle.dumps(plan, protocol=5)


def load(content: bytes) -> Plan:
    """Read a plan out of bytes that were verified.

    Raises
    ------
    PlanOutdated
        If other code wrote it.
    """
    made_by = content[:64].decode("ascii", "replace")
    if made_by != code_digest():
        raise PlanOutdated(f"the stored plan was made by code {made_by[:12]}, this is {code_digest()[:12]}")
    plan = pickle.loads(content[64:])  # noqa: S301 - the artifact's digest was verified
    if not isinstance(plan, Plan):
        raise PlanOutdated(f"the stored plan is a {type(plan).__name__}")
    return plan
