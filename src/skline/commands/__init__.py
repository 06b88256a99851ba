"""The commands of `skline`, one file each: `add_parser` declares the command, and the function below runs it.

Modules import what a command needs inside that function, so that `skline --help` stays fast.
"""

import argparse
from typing import TypeAlias

#: What `add_parser` of a command gets: the subparsers of the command line.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
