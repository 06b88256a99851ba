"""skline turns a table into a served scikit-learn model and keeps that model true afterwards."""

import os

# OpenMP reads this once, when scikit-learn is loaded, so it must be set before: idle threads sleep instead of
# spinning. On a shared machine spinning threads take the processor from those that have work, and a fit was
# seen to take 25 times as long (docs/decisions/openmp-waits-asleep.md). It changes no result.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
