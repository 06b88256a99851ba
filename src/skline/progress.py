"""Show that a long fit is alive, on a terminal only."""

import contextlib
import io
import re
import sys
from typing import Any

#: How scikit-learn's HistGradientBoosting tells an iteration, with verbose=2: "[12/120] 1 tree, 31 leaves…"
ITERATION = re.compile(r"\[(\d+)/(\d+)\]")


class _Iterations(io.TextIOBase):
    """A text stream that turns an estimator's verbose output into a progress bar."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar

    def write(self, text: str) -> int:
        """Move the bar to the iteration that `text` tells, if it tells one."""
        if found := ITERATION.search(text):
            self.bar.total = int(found[2])
            self.bar.update(int(found[1]) - self.bar.n)
        return len(text)


def fit(pipeline: Any, X: Any, y: Any) -> None:
    """Fit `pipeline`, with a progress bar where stderr is a terminal.

    The bar follows the iterations of an estimator that tells them (HistGradientBoosting); others get a bar
    with the elapsed time. The fitted pipeline is the same with and without a bar.
    """
    if not sys.stderr.isatty():
        pipeline.fit(X, y)
        return
    from tqdm import tqdm

    model = pipeline[-1]
    quiet = model.get_params().get("verbose")
    tells = type(model).__name__.startswith("HistGradientBoosting")
    with tqdm(desc="fit", unit="iteration" if tells else "fit", total=None if tells else 1) as bar:
        if tells:
            model.set_params(verbose=2)
            with contextlib.redirect_stdout(_Iterations(bar)):
                pipeline.fit(X, y)
            model.set_params(verbose=quiet)
        else:
            pipeline.fit(X, y)
            bar.update(1)
