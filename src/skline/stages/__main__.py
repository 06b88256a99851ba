"""`python -m skline.stages NAME` runs one stage: the process is set up before the stage's imports, which cost most."""

import importlib
import sys

from skline.process import run

#: Packages that a stage's libraries import only because they are installed, and that the stage has no use for.
WITHOUT = {
    "validate": ("hypothesis",),  # pandera, for strategies
    "register": ("pandas", "scipy"),  # MLflow, for data sets of its own
}


def main() -> None:
    """Import the stage that the command line names, and run it."""
    importlib.import_module(f"skline.stages.{sys.argv[1]}").main()


if __name__ == "__main__":
    run(main, WITHOUT.get(sys.argv[1], ()))
