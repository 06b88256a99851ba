"""`python -m skline.stages NAME` runs one stage: the process is set up before the stage's imports, which cost most."""

import importlib
import sys

from skline.lazy import defer
from skline.process import run

#: Packages that a stage's libraries import only because they are installed, and that the stage has no use for.
WITHOUT = {
    # Both import the contract, and pandera looks for what its own extras work with.
    "ingest": ("dask", "hypothesis"),
    "validate": ("dask", "hypothesis"),
    # MLflow, for data sets and a file system that are not used here; Mako, which Alembic imports, to colour its errors.
    "register": ("pandas", "scipy", "pyarrow", "pygments"),
}
#: A package that a stage's libraries take only these names out of at their start, and use later or never.
SCIKIT_LEARN = ("scipy.stats", ("chi2", "gmean", "rankdata", "spearmanr"))
LATER = {
    "train": SCIKIT_LEARN,
    "evaluate": SCIKIT_LEARN,
    "judge": SCIKIT_LEARN,
    "register": ("fastapi", ("HTTPException",)),  # MLflow's gateway, which is a server
}


def main() -> None:
    """Import the stage that the command line names, and run it."""
    stage = sys.argv[1]
    if LATER.get(stage) is SCIKIT_LEARN:
        # First, because pickle looks for a function of scipy.special in every module in turn, and asks it of each.
        importlib.import_module("scipy.special")
    if stage in LATER:
        defer(*LATER[stage])
    importlib.import_module(f"skline.stages.{stage}").main()


if __name__ == "__main__":
    run(main, WITHOUT.get(sys.argv[1], ()))
