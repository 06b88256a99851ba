# The steps that people and CI run alike: `uv run just NAME`; without a name, a list of them.

# The image gets these libraries in the versions installed here: with others it could not use the stored plan.
of_model := '^(joblib|numpy|pandas|scikit-learn|scipy)=='

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
    uv run --group dev check-jsonschema -q --builtin-schema vendor.github-workflows .github/workflows/*.yml
    uv run --group dev check-jsonschema -q --builtin-schema vendor.dependabot .github/dependabot.yml
    uv run --group dev check-jsonschema -q --schemafile schemas/params.schema.json params.yaml
    uv run skline sync --check

# Run all tests but the drills.
test:
    uv run --group dev pytest

# Three drills run at a time also on two cores, because many wait for processes and clocks.
# Run the drills: outages, floods, updates of rendered projects, tables of every kind.
drills:
    uv run --group dev pytest -n 3 -m "slow and not alone"
    uv run --group dev pytest -n 0 -m alone

# Serve the model on loopback.
serve *options:
    uv run skline serve {{options}}

# Measure the service side by side with the alternatives; takes about an hour.
bench *options:
    uv run --group bench python -m benchmarks.serving {{options}}

# Write the generated pages, the schema of params.yaml and the dashboard, build the documentation in site/, and check its links.
docs:
    uv run --group dev python -m scripts.reference
    uv run --group dev python -m scripts.dashboard
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

# Pin the image's libraries, with hashes, in `file`; present pins stay unless pyproject.toml forbids them.
requirements file="requirements/serving.txt":
    uv pip freeze | grep -E '{{of_model}}' | uv pip compile -q pyproject.toml --constraints - --extra serving \
        --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --python-version 3.12 --python-platform x86_64-manylinux_2_28 \
        -o {{file}}

# Build the engine's wheel in dist/.
wheel:
    rm -rf dist
    uv build -q --wheel --out-dir dist

# Build the image around the artifact.
image tag="flights": wheel
    docker build --build-arg ARTIFACT_DIGEST=$(cat artifact.sha256) -t {{tag}} .
