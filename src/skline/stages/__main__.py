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
    "register": ("pandas", "scipy"),  # MLflow, for data sets of its own
}
#: Stages that use scikit-learn, whose start takes these names out of scipy.stats: a third of it.
SCIKIT_LEARN = ("train", "evaluate", "judge")
STATISTICS = ("chi2", "gmean", "rankdata", "spearmanr")


def main() -> None:
    """Import the stage that the command line names, and run it."""
    stage = sys.argv[1]
    if stage in SCIKIT_LEARN:
        # First, because pickle looks for a function of scipy.special in every module in turn, and asks it of each.
        importlib.import_module("scipy.special")
        defer("scipy.stats", STATISTICS)
    importlib.import_module(f"skline.stages.{stage}").main()


if __name__ == "__main__":
    run(main, WITHOUT.get(sys.argv[1], ()))
