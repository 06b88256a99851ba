"""Verify that a pipeline can be saved, and name the step that prevents it."""

import pickle
from typing import Any

from sklearn.pipeline import Pipeline

from skline.errors import SklineError

#: What pickle raises for an object that it cannot write.
PICKLING_ERRORS = (pickle.PicklingError, AttributeError, TypeError)


def require_picklable(pipeline: Pipeline) -> None:
    """Raise SklineError if pickle cannot write a pipeline; it names the step, and the function if that is the cause."""
    if (problem := _problem(pipeline)) is None:
        return
    parameters = {name: value for name, value in pipeline.get_params().items() if _problem(value) is not None}
    # The innermost, or the step that holds it: whatever is around it cannot be written because of it.
    name = max(parameters, key=lambda name: (name.count("__"), hasattr(parameters[name], "get_params")), default=None)
    if name is None:
        raise SklineError(f"the pipeline of src/model/pipeline.py cannot be saved: {problem}")
    step, _, parameter = name.rpartition("__")
    if (function := _inner_function(parameters[name])) is None:
        raise SklineError(
            f"the step {step or name!r} of src/model/pipeline.py cannot be saved: {_problem(parameters[name])}"
        )
    raise SklineError(
        f"the step {step!r} of src/model/pipeline.py cannot be saved, because its {parameter} is {function}; define it "
        "with `def` at the top level of a module in src/model/, from where the service can import it"
    )


def _problem(value: Any) -> str | None:
    """Return why pickle cannot write a value, in one line; None if it can."""
    try:
        pickle.dumps(value)
    except PICKLING_ERRORS as error:
        return " ".join(str(error).split())
    return None


def _inner_function(value: Any) -> str | None:
    """Describe a function that pickle cannot write, because no module has it under its name; None for other values."""
    name = getattr(value, "__qualname__", "")
    if name.endswith("<lambda>"):
        return "a lambda"
    return f"the local function {name.rpartition('.')[2]}" if "<locals>" in name and callable(value) else None
