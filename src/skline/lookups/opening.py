"""Open the look-ups of a model: its contract says which, the environment where their stores are."""

import datetime as dt
import importlib
import os
from collections.abc import Callable, Mapping
from typing import Literal

from skline.clock import naive_now
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.lookups.online import PATIENT_SECONDS, Lookups, Observe
from skline.lookups.store import Store, StoreRequest, variable_of

#: Whether the inputs that callers do not send are looked up now, or the rows that are passed have them.
LookupMode = Literal["now", "given"]


def open_lookups(
    contract: Contract,
    addresses: Mapping[str, str],
    *,
    patient: bool = False,
    observe: Observe | None = None,
    clock: Callable[[], dt.datetime] = naive_now,
) -> Lookups | None:
    """Open the stores of a contract's look-ups.

    Parameters
    ----------
    contract : Contract
    addresses : mapping of str to str
        Addresses that override those of the contract, by the name of the look-up.
    patient : bool
        See `skline.lookups.online.Lookups`.
    observe : callable, optional
        See `skline.lookups.online.Observe`.
    clock : callable
        Returns the time, UTC without a zone.

    Returns
    -------
    Lookups or None
        None if the contract has no look-ups.

    Raises
    ------
    SklineError
        If a store has no address, its client is not installed, or an address belongs to no look-up.
    """
    unknown = sorted(set(addresses) - set(contract.lookups))
    if unknown:
        known = ", ".join(contract.lookups) or "none"
        raise SklineError(
            f"{variable_of(unknown[0])} is set, and the model has no look-up {unknown[0]!r} (it has {known}); "
            "remove it, or correct its name"
        )
    if not contract.lookups:
        return None
    stores: dict[str, Store] = {}
    for name, lookup in contract.lookups.items():
        seconds = PATIENT_SECONDS if patient else lookup.timeout
        stores[name] = open_store(
            StoreRequest(name, lookup, contract, addresses.get(name, lookup.address), seconds, patient)
        )
    return Lookups(contract, stores, patient=patient, clock=clock, observe=observe)


def open_patiently(contract: Contract) -> Lookups | None:
    """Open the look-ups for `skline score`, `skline predict` and `skline.load`, which rather wait than fall back."""
    variables = {name: variable_of(name) for name in contract.lookups}
    addresses = {name: os.environ[variable] for name, variable in variables.items() if variable in os.environ}
    lookups = open_lookups(contract, addresses, patient=True)
    if lookups is not None:
        lookups.open()
    return lookups


def open_store(request: StoreRequest) -> Store:
    """Open the store of a look-up.

    Raises
    ------
    SklineError
        If it has no address, its client is not installed, or the project's function cannot be imported.
    """
    match request.lookup.provider:
        case "parquet":
            from skline.lookups.parquet import ParquetStore

            return ParquetStore(request)
        case "postgresql":
            from skline.lookups.postgresql import PostgresStore

            return PostgresStore(request)
        case "redis":
            from skline.lookups.redis import RedisStore

            return RedisStore(request)
        case "feast":
            from skline.lookups.feast import FeastStore

            return FeastStore(request)
        case path:
            return _project_store(path, request)


def _project_store(path: str, request: StoreRequest) -> Store:
    """Call the function of the project that opens a store."""
    module, _, name = path.partition(":")
    try:
        make = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SklineError(
            f"lookups.{request.name}.provider is {path!r}, which cannot be imported as module:function ({error}); name "
            "a function such as model.stores:open_store, which takes a StoreRequest"
        ) from error
    store: Store = make(request)
    return store
