"""The exception for errors that a user can correct: its message names the problem, the rule and the next step."""


class SklineError(Exception):
    """An error in the input, the settings or the environment.

    Entry points print its message as one line and exit with status 1; any other exception is a defect of the program
    and keeps its traceback.
    """
