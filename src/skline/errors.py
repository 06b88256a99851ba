"""The one exception that people are meant to read: what was found, which rule it broke, what to do."""


class SklineError(Exception):
    """A mistake in the input, the settings or the surroundings, told in one sentence.

    Entry points print it as one line and exit with status 1; anything else is a defect of the
    program and keeps its traceback.
    """
