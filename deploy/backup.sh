#!/bin/sh
# Back the server up: `deploy/backup.sh [FOLDER]` (default: backups/ of the project). Prints the folder that it wrote.
# The databases go first: what is written meanwhile is newer than they are, and nothing in them is without its files.
set -eu
cd "$(dirname "$0")/.."
umask 077
folder=${1:-backups}/$(date -u +%Y%m%dT%H%M%SZ)
compose="${COMPOSE:-docker compose -f deploy/compose.yaml}"
mkdir -p "$folder.partial"
for name in predictions mlflow; do
  $compose exec -T postgres pg_dump -U postgres --format=custom "$name" >"$folder.partial/$name.dump"
done
# Releases with their artifacts, sealed days, reports, keys and secrets; DVC's cache, which a remote would have as well. A file that
# is written meanwhile is status 1 of tar, and no failure: of releases and sealed days, only whole files are renamed into place.
set --
for name in releases logs reports deploy/secrets .dvc/cache; do
  [ ! -e "$name" ] || set -- "$@" "$name"
done
tar -czf "$folder.partial/project.tar.gz" --exclude=releases/services "$@" || [ $? = 1 ]
(cd "$folder.partial" && sha256sum -- * >SHA256SUMS)
sync "$folder.partial"/*
mv "$folder.partial" "$folder"
echo "$folder"
