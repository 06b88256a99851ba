"""Records of the prediction log, built from rows and the responses to them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import repeat
from operator import itemgetter
from time import perf_counter
from typing import Any

from skline.contract.spec import Row
from skline.logs.records import Prediction
from skline.logs.request_rows import RequestRows
from skline.serving.models.response import Content, ResponseBuilder
from skline.serving.security.context import RequestContext

#: Build a Prediction from a tuple: `Prediction._make` without its check of the length.
_make_prediction: Callable[[tuple[Any, ...]], Prediction] = partial(tuple.__new__, Prediction)
_REVIEW = Prediction._fields.index("review")
#: Values of the fields after `review`, which only experiments set.
_EXPERIMENT_DEFAULTS = tuple(Prediction._field_defaults[name] for name in Prediction._fields[_REVIEW + 1 :])


def make_record(
    row: Row,
    content: Content,
    builder: ResponseBuilder,
    now: int,
    review: int,
    context: RequestContext | None,
    lookups: Mapping[str, str] | None = None,
) -> Prediction:
    """Build the log record of one prediction; `now` is in microseconds since 1970."""
    return Prediction(
        content["prediction_id"],
        now,
        builder.version,
        builder.digest,
        builder.path,
        row,
        content["prediction"],
        content.get("probabilities"),
        None if context is None else int((perf_counter() - context.started_at) * 1e6),
        None if context is None else context.trace.request_id.decode(),
        None if context is None else context.entity,
        review=review,
        lookups=lookups,
    )


def shared_record(builder: ResponseBuilder, now: int, context: RequestContext | None) -> Prediction:
    """Return the values that the records of one request's rows share, with placeholders for the others."""
    return make_record({}, {"prediction_id": "", "prediction": 0}, builder, now, 0, context)


def records_for_request(
    rows: Sequence[Row],
    contents: Sequence[Content],
    builder: ResponseBuilder,
    now: int,
    reviews: Sequence[int],
    context: RequestContext | None,
    *,
    as_one: bool,
) -> Sequence[Prediction] | RequestRows:
    """Build the log records of one request's rows, as a single entry of the log's queue if `as_one`."""
    if as_one:
        with suppress(TypeError):  # a value cannot be JSON: as single records, only the rows that have one are rejected
            return RequestRows(shared_record(builder, now, context), rows, contents, reviews)
    return [
        make_record(row, content, builder, now, review, context, content.get("lookups"))
        for row, content, review in zip(rows, contents, reviews, strict=True)
    ]


def records_for_coalesced_requests(
    rows: Sequence[Row],
    contents: Sequence[Content],
    builder: ResponseBuilder,
    now: int,
    reviews: Sequence[int],
    contexts: Sequence[RequestContext],
) -> list[Prediction]:
    """Build the log records of many requests with one row each.

    It builds column by column, which is faster than `make_record` for each row.
    """
    now_seconds = perf_counter()
    latencies = [int((now_seconds - context.started_at) * 1e6) for context in contexts]
    request_ids = [context.trace.request_id.decode() for context in contexts]
    ids, predictions = map(itemgetter("prediction_id"), contents), map(itemgetter("prediction"), contents)
    probabilities = repeat(None) if builder.class_names is None else map(itemgetter("probabilities"), contents)
    shared = map(repeat, (now, builder.version, builder.digest, builder.path))
    defaults = map(repeat, _EXPERIMENT_DEFAULTS)
    columns = zip(
        ids,
        *shared,
        rows,
        predictions,
        probabilities,
        latencies,
        request_ids,
        [context.entity for context in contexts],
        repeat(None),  # event_time
        reviews,
        *defaults,
    )
    return list(map(_make_prediction, columns))
