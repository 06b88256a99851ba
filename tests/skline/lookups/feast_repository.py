"""Run in Feast's own environment: `python feast_repository.py UNTIL` in a folder with feature_store.yaml.

It declares a view of customers.parquet, fills the online store with the values until UNTIL, and writes what Feast joins
to the rows of orders.parquet to joined.parquet.
"""

import datetime as dt
import sys

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64, String

FEATURES = ["avg_30d", "n", "tier"]


def main() -> None:
    """Apply, materialize and join."""
    store = FeatureStore(".")
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
    view = FeatureView(
        name="customers",
        entities=[customer],
        ttl=dt.timedelta(days=2),
        schema=[
            Field(name="customer_id", dtype=Int64),
            Field(name="avg_30d", dtype=Float64),
            Field(name="n", dtype=Int64),
            Field(name="tier", dtype=String),
        ],
        source=FileSource(path="customers.parquet", timestamp_field="updated_at"),
    )
    store.apply([customer, view])
    until = dt.datetime.fromisoformat(sys.argv[1])
    store.materialize(until - dt.timedelta(days=60), until)
    orders = pd.read_parquet("orders.parquet")
    names = [f"customers:{name}" for name in FEATURES]
    joined = store.get_historical_features(entity_df=orders, features=names).to_df()
    joined.sort_values("order").to_parquet("joined.parquet")


if __name__ == "__main__":
    main()
