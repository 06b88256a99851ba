"""Counts of rejected requests, as the prediction log keeps them: by minute, version, rule and column.

They hold no value of a request, nor who sent it. They stay in the database when days are sealed, `skline log forget`
leaves them, and `skline log purge` deletes the old ones.
"""

from typing import NamedTuple, Self

from skline.ids import new_prediction_id

#: Rule and column of the count of all requests of a minute, of which each may break several rules.
ALL = "*"
#: Rule or column that has no name of its own.
OTHER = "other"


class RejectedCount(NamedTuple):
    """Requests of one minute that break a rule in a column; the fields are the columns of the table.

    A process writes several of them for one minute: readers add them up.

    Attributes
    ----------
    count_id : str
        Unique, so that a count that is written twice is stored once.
    time : int
        Start of the minute, in microseconds since 1970, UTC.
    model_version : str
    rule, column_name : str
        Both ALL for all requests of the minute.
    requests, row_count : int
        Rejected requests, and their rows.
    """

    count_id: str
    time: int
    model_version: str
    rule: str
    column_name: str
    requests: int
    row_count: int

    @classmethod
    def new(cls, time: int, model_version: str, rule: str, column: str, requests: int, rows: int) -> Self:
        """Return a count with an id of its own."""
        return cls(new_prediction_id(), time, model_version, rule, column, requests, rows)
