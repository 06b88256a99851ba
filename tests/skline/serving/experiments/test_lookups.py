"""A challenger beside a champion whose inputs are looked up: both get the values of the same look-up, once a row."""

import json
from pathlib import Path
from typing import Any

import pytest

from skline.artifact import Artifact
from skline.canary_limits import Guards
from skline.loading import Model
from tests.fixtures import customers, demo
from tests.fixtures.releases import ServedReleases, version_of, wait_for_info, wait_for_release
from tests.fixtures.service import logged_rows, metric

CUSTOMERS = range(20)
UNKNOWN = 999
PATIENT = Guards(min_rows=10_000)
COUNT = 'skline_lookups_total{lookup="customers",outcome="found"}'


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    return customers.package(tmp_path_factory.mktemp("champion") / "artifact", customers.contract())


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> demo.Packaged:
    return customers.package(tmp_path_factory.mktemp("challenger") / "artifact", customers.contract(), seed=4)


@pytest.fixture
def served(releases: ServedReleases) -> ServedReleases:
    """Releases of the champion; entities are customers."""
    releases.log = releases.log.model_copy(update={"entity_column": "customer_id"})
    return releases


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = customers.write_history(tmp_path_factory.mktemp("store") / "customers.parquet")
    return {"customers": str(path)}


def newest(customer: int) -> dict[str, Any]:
    """Return what a customer's look-up finds."""
    rows = customers.history().query("customer_id == @customer").tail(1).to_dict("records")
    values = {name: rows[0][column] if rows else None for name, column in
              (("avg_30d", "avg_30d"), ("orders", "n"), ("tier", "tier"))}  # fmt: skip
    return {name: None if value != value else value for name, value in values.items()}  # noqa: PLR0124 - NaN


def expected(packaged: demo.Packaged, customer: int) -> list[float]:
    """Return the probabilities of a model for an order of a customer, given the values of the look-up."""
    model = Model(Artifact.open(packaged.folder, packaged.digest))
    row = {"customer_id": customer, "amount": 40.0} | newest(customer)
    return list(model.predict_proba([row], lookups="given")[0])


def test_each_arm_scores_the_looked_up_values_of_its_entities(
    served: ServedReleases, packaged: demo.Packaged, other: demo.Packaged, store: dict[str, str], tmp_path: Path
) -> None:
    models = {version_of(each): each for each in (packaged, other)}
    with served.serve(lookups=store) as client:
        served.start_experiment(other, "canary", 50, guards=PATIENT)
        wait_for_release(client, 2)
        before = metric(client, COUNT)
        orders = [{"customer_id": each, "amount": 40.0} for each in (*CUSTOMERS, UNKNOWN)]
        single = [client.post("/predict", json=order).json() for order in orders]
        batch = client.post("/predict/batch", json=orders).json()["predictions"]
        assert metric(client, COUNT) == before + 2 * len(CUSTOMERS)
    assert {each["model_version"] for each in single} == models.keys(), "both arms answer"
    for order, one, of_batch in zip(orders, single, batch, strict=True):
        probabilities = expected(models[one["model_version"]], order["customer_id"])
        assert list(one["probabilities"].values()) == list(of_batch["probabilities"].values()) == probabilities
        outcome = "absent" if order["customer_id"] == UNKNOWN else "found"
        assert one["lookups"] == of_batch["lookups"] == {"customers": outcome}
    rows = {row["prediction_id"]: row for row in logged_rows(tmp_path, 2 * len(orders)).to_pylist()}
    for order, one in zip(orders, single, strict=True):
        row = rows[one["prediction_id"]]
        assert json.loads(row["inputs"]) == {"amount": 40.0} | newest(order["customer_id"]), (
            "and a hash of the customer"
        )
        assert json.loads(row["lookups"]) == one["lookups"]


def test_a_shadow_scores_what_the_champion_looked_up(
    served: ServedReleases, packaged: demo.Packaged, other: demo.Packaged, store: dict[str, str], tmp_path: Path
) -> None:
    with served.serve(lookups=store) as client:
        served.start_experiment(other, "shadow")
        wait_for_release(client, 2)
        before = metric(client, COUNT)
        response = client.post("/predict", json={"customer_id": 7, "amount": 40.0}).json()
        rows = {row["prediction_id"]: row for row in logged_rows(tmp_path, 2).to_pylist()}
        assert metric(client, COUNT) == before + 1, "the shadow looks nothing up"
    assert list(response["probabilities"].values()) == expected(packaged, 7)
    own, shadow = rows[response["prediction_id"]], rows[response["prediction_id"] + ".shadow"]
    assert shadow["inputs"] == own["inputs"]
    assert shadow["lookups"] == own["lookups"] == '{"customers":"found"}'
    assert list(json.loads(shadow["probabilities"]).values()) == expected(other, 7)


def test_a_challenger_with_another_look_up_is_rejected(
    served: ServedReleases, store: dict[str, str], tmp_path: Path
) -> None:
    strict = customers.package(tmp_path / "strict", customers.contract(max_age="1d"), seed=5)
    with served.serve(lookups=store) as client:
        served.start_experiment(strict, "canary", 50)
        info = wait_for_info(client, lambda info: metric(client, "skline_release_rejected") == 1)
        assert info["release"] == 1
        assert client.post("/predict", json={"customer_id": 7, "amount": 40.0}).status_code == 200
