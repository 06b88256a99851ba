#!/bin/sh
# Runs once, in an empty database server: a role and a database each for the prediction log and for MLflow.
set -eu
for name in predictions mlflow; do
  password=$(cat "${SECRETS:-/run/postgres}/${name}_password")
  psql -v ON_ERROR_STOP=1 --no-password --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    -v name="$name" -v password="$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
