"""What the project's package `model` declares: the contract, its pandera class, and the columns of logged rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from skline.contract.spec import Contract
from skline.contract.table import Table
from skline.settings.lookups import LookupSettings, with_lookups
from skline.settings.source import Source, with_source_format

if TYPE_CHECKING:
    from types import ModuleType

PrepareFeedback = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Declared:
    """The declarations.

    Attributes
    ----------
    contract : Contract
        With what params.yaml says about the source's text, and with its look-ups.
    labelled : subclass of Table
        `Labelled` of src/model/contract.py.
    prepare_feedback : callable or None
        `prepare_feedback` of src/model/source.py, if it is there.
    """

    contract: Contract
    labelled: type[Table]
    prepare_feedback: PrepareFeedback | None


def read_declared(source: Source, lookups: Mapping[str, LookupSettings]) -> Declared:
    """Read the declarations of the project in the current folder; SklineError if they contradict params.yaml."""
    from model import contract  # fmt: skip
    from model import source as module
    from skline.contract.derive import derive_module

    declared: ModuleType = contract
    return Declared(
        with_lookups(with_source_format(derive_module(declared), source), lookups),
        declared.Labelled,
        getattr(module, "prepare_feedback", None),
    )
