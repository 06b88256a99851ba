"""`skline predict ROW`: predict for one row with the model in service, or another one, as `POST /predict` does."""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skline.commands import Subparsers
from skline.commands._model import add_model_options, selected_model

if TYPE_CHECKING:
    from skline.contract.spec import Column, Contract
    from skline.loading import Model


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "predict",
        help="predict for one row with the model in service",
        description="Predict for one row with the model in service, or the one that an option names, and print the "
        "response of POST /predict, without a prediction_id: nothing is logged.",
    )
    command.add_argument(
        "row",
        nargs="+",
        metavar="ROW",
        help="a JSON object, - to read it from standard input, or COLUMN=VALUE for each input (an empty value is "
        "missing)",
    )
    command.add_argument("--explain", action="store_true", help="add the contribution of each input to the score")
    add_model_options(command)
    command.set_defaults(run=predict)


def predict(arguments: argparse.Namespace) -> None:
    """Print the response as JSON."""
    from skline.artifact import Artifact
    from skline.loading import Model

    source = selected_model(arguments)
    model = Model(Artifact.open(source.folder, source.digest))
    body = read_body(arguments.row, model.contract.for_requests())
    response = respond(model, body, explain=arguments.explain, as_pairs=not is_json(arguments.row))
    print(json.dumps(response, indent=2, ensure_ascii=False))


def is_json(words: Sequence[str]) -> bool:
    """Whether the words are a JSON object, or say that standard input is one; else they are pairs."""
    return list(words) == ["-"] or (len(words) == 1 and words[0].lstrip().startswith("{"))


def read_body(words: Sequence[str], contract: "Contract") -> str:
    """Return the row as JSON text.

    `contract` has the columns that an error takes its example from.

    Raises
    ------
    SklineError
        If the words are neither a JSON object nor pairs of different columns.
    """
    from skline.errors import SklineError

    if is_json(words):
        return sys.stdin.read() if words[0] == "-" else words[0]
    row: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            column = next((column for column in contract.inputs if column.example is not None), contract.inputs[0])
            example = shlex.quote(f"{column.name}={'VALUE' if column.example is None else as_text(column)}")
            raise SklineError(f"{word!r} is neither COLUMN=VALUE nor a JSON object; write {example}, and so on")
        if name in row:
            raise SklineError(f"the column {name!r} is given twice, as {row[name]!r} and as {value!r}; give it once")
        row[name] = value
    return json.dumps(row)


def as_text(column: "Column") -> str:
    """Return the example of a column as text that means the same in the column's notation."""
    from skline.contract.notation import AMBIGUOUS_NUMBER

    text = str(column.example)
    if column.kind == "number" and column.notation is not None and re.fullmatch(AMBIGUOUS_NUMBER, text):
        return f"{text}0"
    return text


def respond(model: "Model", body: str, *, explain: bool, as_pairs: bool = False) -> dict[str, Any]:
    """Return what `POST /predict` responds, without the prediction id.

    An error about an absent input says how a missing value is written in a pair if `as_pairs`, else in JSON.

    Raises
    ------
    SklineError
        If the row breaks the contract, with the field and the rule, or the model rejects it.
    """
    from pydantic import ValidationError

    from skline.contract.request_validation import RowParser
    from skline.contract.suggestions import absence_hints, json_absence_hints
    from skline.errors import SklineError
    from skline.explain import NotExplainable
    from skline.input_rows import describe
    from skline.lookups.online import LookedUpRow

    contract = model.contract.for_requests()
    try:
        request = RowParser(contract).parse_row(body)
    except ValidationError as error:
        in_pairs = absence_hints(contract, lambda name: f"write {shlex.quote(f'{name}=')}")
        raise SklineError(describe(error, in_pairs if as_pairs else json_absence_hints(contract))) from None
    [row] = model.look_up(request)
    [predicted] = model.predict(row, lookups="given").to_dict("records")
    response: dict[str, Any] = {"prediction": predicted["prediction"]}
    if model.contract.class_names is not None and "probability_" + model.contract.class_names[0] in predicted:
        response["probabilities"] = {name: predicted[f"probability_{name}"] for name in model.contract.class_names}
    elif "interval_low" in predicted:
        response["interval"] = [predicted["interval_low"], predicted["interval_high"]]
    response["model_version"] = model.version
    if isinstance(row, LookedUpRow):
        response["lookups"] = row.outcomes
    if explain:
        try:
            response["explanation"] = model.explain_row(row, lookups="given").model_dump()
        except NotExplainable as error:
            response |= {"explanation": None, "no_explanation": str(error)}
    return response
