# What trains and monitors: the project's environment with the group `jobs`. The project itself is mounted at /project.
FROM python:3.12-slim-bookworm AS build
# Debian's mirrors keep no earlier version of a package, so its version cannot be pinned.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /build
COPY . .
ENV UV_PROJECT_ENVIRONMENT=/venv UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
RUN uv sync --no-editable --group jobs

FROM python:3.12-slim-bookworm
# git for the commit that a run records, and the OpenMP runtime for LightGBM.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends git libgomp1 && rm -rf /var/lib/apt/lists/*
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
COPY --from=build /venv /venv
WORKDIR /project
USER 10001:10001
CMD ["skline", "doctor"]
