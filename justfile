# The steps that people and CI run alike: `uv run just NAME`; without a name, a list of them.

# The image gets these libraries in the versions installed here: with others it could not use the stored plan.
of_model := '^(joblib|numpy|pandas|scikit-learn|scipy)=='
# What only the fitted pipeline needs: the target `plan` of the image leaves it out.
of_pipeline := 'joblib pandas scikit-learn scipy'
compile := (
    'uv pip compile -q --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links ' +
    '--python-version 3.12 --python-platform x86_64-manylinux_2_28'
)

_list:
    @just --list

# Run the stages whose inputs have changed: from the source to the registered model.
repro:
    uv run dvc repro

# Check style, types and workflows, and that the generated files record this engine.
check:
    uv run --group dev ruff check .
    uv run --group dev ruff format --check .
    uv run --group dev mypy
    uv run --group dev mypy --platform win32 --cache-dir .mypy_cache/win32 -p model -p skline -p serving
    uv run --group dev check-jsonschema -q --builtin-schema vendor.github-workflows .github/workflows/*.yml
    uv run --group dev zizmor --offline -q .github
    uv run --group dev check-jsonschema -q --builtin-schema vendor.dependabot .github/dependabot.yml
    uv run --group dev check-jsonschema -q --schemafile schemas/params.schema.json params.yaml
    uv run skline sync --check

# Run all tests but the drills.
test:
    uv run --group dev pytest

# Four drills run at a time also on two cores, because many wait for processes and clocks.
# Run the drills: outages, floods, updates of rendered projects, tables of every kind.
drills:
    uv run --group dev pytest -n 4 -m "slow and not alone"
    uv run --group dev pytest -n 0 -m alone

# Fetch the tables of data/source, if DVC has them in a remote.
tables:
    for table in data/source/*.dvc; do [ ! -e "$table" ] || uv run dvc pull "$table"; done

# Serve the model on loopback.
serve *options:
    uv run skline serve {{options}}

# Measure the service side by side with the alternatives; takes about an hour.
bench *options:
    uv run --group bench python -m benchmarks.serving {{options}}

# Write the generated pages, the schema of params.yaml, the dashboard and deploy/, build the documentation in site/, and check its links.
docs:
    uv run --group dev python -m scripts.reference
    uv run --group dev python -m scripts.dashboard
    uv run --group dev python -m scripts.deploy
    uv run skline sync
    uv run --group docs zensical build --clean --strict
    uv run --group docs lychee --offline --include-fragments --root-dir . README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs
    uv run --group docs lychee --offline --include-fragments --root-dir site site

# Take the pictures of the report and of the page that README.md shows.
pictures:
    uv run --group dev python -m scripts.pictures

# Test the plans of CatBoost, which takes 270 MB.
test-catboost:
    uv run --group catboost pytest -n 0 -m catboost tests/skline/scoring

# Test look-ups in Feast, which gets an environment of its own: 480 MB.
test-feast:
    uv run --group dev pytest -n 0 -m feast tests/skline/lookups

# Test sources and remotes in object storage and in lakes, with servers on loopback; the libraries take 300 MB.
# Azurite stands for Azure, if it is installed: npm install --global azurite
test-objects:
    uv run --group objects pytest -n 0 -m objects

# Kill the service, monitoring, retraining, the pipeline and a replay thirty times, which takes some minutes.
test-kills:
    uv run --group dev pytest -n 0 -s -m kills

# Look up known vulnerabilities of the image's libraries; requirements/audit-ignored.txt lists those that do not apply.
# A library that cannot be looked up is an error: without the database nothing is known.
audit:
    uvx pip-audit@2.10.1 --strict --require-hashes --disable-pip -r requirements/serving.txt \
        $(sed -nE 's/^([A-Z][A-Za-z0-9-]+).*/--ignore-vuln \1/p' requirements/audit-ignored.txt)

# Pin the libraries of the image's targets and of its build, with hashes; present pins stay unless pyproject.toml forbids them.
requirements folder="requirements" sbom="src/skline/deploy/sbom.txt":
    uv pip freeze | grep -E '{{of_model}}' | {{compile}} pyproject.toml --constraints - --extra serving \
        --extra postgresql --extra release-store -o {{folder}}/serving.txt
    printf '%s\n' {{of_pipeline}} | {{compile}} pyproject.toml --constraints {{folder}}/serving.txt --excludes - \
        --extra serving --extra postgresql --extra release-store -o {{folder}}/plan.txt
    {{compile}} --group sbom -o {{sbom}}

# Pin the base image in the Dockerfile to the digest that its tag has now; Dependabot proposes later ones.
pin-base-image:
    image=$(sed -nE 's/^FROM (python:[^@ ]+).* AS base$/\1/p' Dockerfile) \
        && digest=$(docker buildx imagetools inspect "$image" --format '{{{{.Manifest.Digest}}') \
        && sed -E "s|^FROM $image.* AS base$|FROM $image@$digest AS base|" Dockerfile > Dockerfile.pinned \
        && mv Dockerfile.pinned Dockerfile

# Build the engine's wheel in dist/.
wheel:
    rm -rf dist
    uv build -q --wheel --out-dir dist

# Build the image around the artifact; `plan` is the smaller target, which serves by the stored plan alone.
image tag="flights" target="full": wheel
    docker build --target {{target}} --build-arg ARTIFACT_DIGEST=$(cat artifact.sha256) -t {{tag}} .

# Start the image, read-only and without capabilities, and compare its predictions with the pipeline's.
# SERVICE_HOST is the host of the Docker daemon, SERVICE_BIND the address there to listen on, SERVICE_PORT the port.
smoke tag="flights":
    #!/usr/bin/env bash
    set -euo pipefail
    address="${SERVICE_HOST:-127.0.0.1}:${SERVICE_PORT:-8000}"
    folder=$(mktemp -d)
    uv run skline key new --file "$folder/keys.json" --name smoke --scopes predict > "$folder/key"
    container=$(docker run -d --read-only --tmpfs /tmp --cap-drop ALL -p "${SERVICE_BIND:-127.0.0.1}:${SERVICE_PORT:-8000}:8000" \
        -e SKLINE_SECURITY__API_KEYS="$(tr -d ' \n' < "$folder/keys.json")" {{tag}})
    finish() { [ "$1" = 0 ] || docker logs "$container"; docker rm -f "$container" > "$folder/removed"; }
    trap 'finish $?' EXIT
    curl -sSf --retry 60 --retry-delay 1 --retry-all-errors -o "$folder/ready" "http://$address/health/ready"
    SKLINE_KEY=$(tail -1 "$folder/key") uv run skline compare "http://$address" --rows 200

# Monitor; a warning, which is status 10, is no failure.
monitor:
    status=0; uv run skline monitor || status=$?; [ $status -eq 10 ] || exit $status

# Monitor, and train if the decision or the variable REASON gives a reason. A candidate that fails a gate is an error.
retrain:
    status=0; uv run skline monitor || status=$?; [ $status -ne 1 ] || exit 1
    if [ -z "${MLFLOW_TRACKING_URI:-}" ]; then unset MLFLOW_TRACKING_URI; fi; \
        uv run skline retrain ${REASON:+--reason "$REASON"}

# Push the data of a training, and commit its results to a new branch; without a training, do nothing.
results branch:
    #!/usr/bin/env bash
    set -euo pipefail
    for path in params.yaml data/source dvc.lock artifact.sha256 reports releases/registered.jsonl; do
      [ ! -e "$path" ] || git add -- "$path"
    done
    if git diff --cached --quiet; then echo "nothing was trained"; exit 0; fi
    uv run dvc push
    git checkout -q -b "{{branch}}"
    git commit -qm "Train a new model"
