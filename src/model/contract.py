"""The columns of the table: the inputs of /predict, and the columns that only labelled rows have.

Validation, the API and its documentation, batch scoring, the data profile and tests are derived from these two classes.
"""

import datetime as dt

from skline.contract.table import Table, column


class Inputs(Table):
    """A flight out of New York, as it is known when a ticket is sold."""

    flight_date: dt.date = column("Day of departure, local time", example="2013-07-04", ge=dt.date(2013, 1, 1))
    carrier: str = column("Airline, two-character IATA code", example="UA", pattern="[A-Z0-9]{2}", segment=True)
    origin: str = column("Airport of departure", example="EWR", isin=["EWR", "JFK", "LGA"], segment=True)
    dest: str = column("Airport of arrival, IATA code", example="IAH", pattern="[A-Z]{3}")
    distance: int = column(
        "Distance between the airports, in miles; null if unknown",
        example=1400,
        gt=0,
        le=12_500,
        nullable=True,
    )
    sched_dep_time: int = column(
        "Scheduled departure, local time as hhmm", example=515, ge=0, le=2400, feature_group="clock"
    )
    sched_arr_time: int = column(
        "Scheduled arrival, local time as hhmm", example=819, ge=0, le=2400, feature_group="clock"
    )


class Labelled(Inputs):
    """A flight that has landed."""

    late: bool = column("Whether it arrived more than 15 minutes late", role="target")
    flight_id: str = column("Carrier, flight number and scheduled hour of departure", role="id")
    departed_at: dt.datetime = column("Scheduled departure, UTC, to the hour", role="time")
    month: int = column("Month of departure", ge=1, le=12, role="segment")


#: Columns of the source that are unknown when a ticket is sold, and why; they must not be inputs.
LEAKS = {
    "dep_time": "actual departure, known at the gate",
    "dep_delay": "delay at departure, known at the gate",
    "arr_time": "actual arrival",
    "arr_delay": "delay at arrival; the label is derived from it",
    "air_time": "time in the air, known after landing",
}
