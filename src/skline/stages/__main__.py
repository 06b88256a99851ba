"""`python -m skline.stages NAME` runs one stage: the process is set up before the stage's imports, which cost most."""

import importlib
import sys

from skline.lazy import defer, read_entry_points_once
from skline.process import run

#: Packages that a stage's libraries import only because they are installed, and that the stage has no use for.
WITHOUT = {
    # Both import the contract, and pandera looks for what its own extras work with.
    "ingest": ("dask", "hypothesis"),
    "validate": ("dask", "hypothesis"),
    # MLflow, for data sets and a file system that are not used here, and OpenTelemetry, for names of processes; Mako,
    # which Alembic imports, to colour its errors.
    "register": ("pandas", "scipy", "pyarrow", "psutil", "pygments"),
}
#: Packages that a stage's libraries take only these names out of at their start, and use later or never.
SCIKIT_LEARN = (
    ("numpy.f2py", ()),  # SciPy takes all of NumPy
    ("scipy.stats", ("chi2", "gmean", "rankdata", "spearmanr")),
)
LATER = {
    "train": SCIKIT_LEARN,
    "evaluate": SCIKIT_LEARN,
    "judge": SCIKIT_LEARN,
    "register": (("fastapi", ("HTTPException",)),),  # MLflow's gateway, which is a server
}
#: Stages whose libraries ask again and again which plugins are installed.
ASKS_FOR_PLUGINS = ("register",)


def main() -> None:
    """Import the stage that the command line names, and run it."""
    stage = sys.argv[1]
    for package, names in LATER.get(stage, ()):
        defer(package, names)
    if stage in ASKS_FOR_PLUGINS:
        read_entry_points_once()
    if LATER.get(stage) is SCIKIT_LEARN:
        # pickle looks for a function of scipy.special in each module in turn, and asks it of each: it must come first.
        importlib.import_module("scipy.special")
        for package, _ in SCIKIT_LEARN:
            sys.modules[package] = sys.modules.pop(package)
    importlib.import_module(f"skline.stages.{stage}").main()


if __name__ == "__main__":
    run(main, WITHOUT.get(sys.argv[1], ()))
