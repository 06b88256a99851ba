"""One file a DVC stage, in the order of dvc.yaml: a pure function, and a main() that reads, calls, writes."""

import gc
import sys

if sys.argv[0] == "-m":  # a stage is being started: its imports are quicker without collections (see process.run)
    gc.disable()
