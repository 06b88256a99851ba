#!/bin/sh
# Restore a backup into a fresh clone of the project: `deploy/restore.sh BACKUP`. It replaces databases and files: it needs an
# empty database server, and stops if one of the files differs from its checksum.
set -eu
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
(cd "$folder" && sha256sum --check --quiet SHA256SUMS)
compose="${COMPOSE:-docker compose -f deploy/compose.yaml}"
tar -xzf "$folder/project.tar.gz"
$compose up -d --wait postgres
for name in predictions mlflow; do
  $compose exec -T postgres pg_restore -U postgres --dbname "$name" --no-owner --role "$name" --exit-on-error \
    --single-transaction <"$folder/$name.dump"
done
echo "restored $folder; start the rest with: docker compose -f deploy/compose.yaml up -d"
