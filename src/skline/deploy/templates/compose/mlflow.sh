#!/bin/sh
# MLflow on PostgreSQL and the object store. Clients send artifacts through it and need no key of the store.
set -eu
folder=${SECRETS:-/run/mlflow}
MLFLOW_BACKEND_STORE_URI=$(cat "$folder/backend_store_uri")
export MLFLOW_BACKEND_STORE_URI
python - <<'PYTHON'
import os

import boto3

store = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
if "mlflow" not in [bucket["Name"] for bucket in store.list_buckets()["Buckets"]]:
    store.create_bucket(Bucket="mlflow")
PYTHON
exec mlflow server --host "${HOST:-0.0.0.0}" --port "${PORT:-5000}" --workers 2 --artifacts-destination s3://mlflow \
  --allowed-hosts "${ALLOWED_HOSTS:-mlflow:5000,127.0.0.1:5000}"
