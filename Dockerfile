# The prediction service: hashed libraries, the engine, the project's code and the artifact; nothing of training.
# `just image` builds the engine's wheel and this image.
# docker run -p 8000:8000 -e SKLINE_SECURITY__API_KEYS="$(cat keys.json)" service     (`skline key new` creates keys.json)
# The target `full` is the default: where it cannot use the stored plan, the fitted pipeline scores. The target `plan` is
# smaller, without pandas, scikit-learn and SciPy: it serves by the stored plan alone, and does not build if it cannot.
FROM python:3.12-slim-bookworm AS base

# cyclonedx-py, which the engine pins, lists the libraries in sbom.cdx.json. `strip` takes 18 MB of debugging information out of
# three wheels; libraries that auditwheel has edited, such as NumPy's, would not survive it. Both tools stay in this stage.
FROM base AS plan-libraries
# Debian's mirrors keep no earlier version of a package, so its version cannot be pinned.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
COPY requirements/plan.txt dist/*.whl /install/
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --no-deps --require-hashes -r /install/plan.txt \
    && pip --python /venv/bin/python install --no-cache-dir --no-deps --no-index /install/*.whl \
    && pip install --no-cache-dir --no-deps --require-hashes -r /venv/lib/python3.*/site-packages/skline/deploy/sbom.txt \
    && find /venv -type d -name tests -prune -exec rm -rf {} + \
    && find /venv -name "*.so" \( -path "*/uvloop/*" -o -path "*/httptools/*" -o -path "*/obstore/*" \) \
        -exec strip --strip-unneeded {} + \
    && cyclonedx-py environment --output-reproducible --output-format JSON --output-file /sbom.cdx.json /venv/bin/python

FROM plan-libraries AS full-libraries
COPY requirements/serving.txt /install/
RUN pip --python /venv/bin/python install --no-cache-dir --no-deps --require-hashes -r /install/serving.txt \
    && find /venv -type d -name tests -prune -exec rm -rf {} + \
    && cyclonedx-py environment --output-reproducible --output-format JSON --output-file /sbom.cdx.json /venv/bin/python

FROM base AS service
# The digest comes from outside the artifact; an image for another artifact does not build.
ARG ARTIFACT_DIGEST=""
LABEL org.opencontainers.image.title="skline prediction service" skline.artifact.sha256="$ARTIFACT_DIGEST"
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 \
    SKLINE_ARTIFACT=/app/artifact SKLINE_ARTIFACT_DIGEST=$ARTIFACT_DIGEST SKLINE_ENVIRONMENT=production \
    SKLINE_LOG__DATABASE=/logs/predictions.db SKLINE_LOG__PARTITIONS=/logs/predictions
WORKDIR /app
# The root is read-only: the prediction log needs a volume, or SKLINE_LOG__DATABASE=postgresql://…
RUN mkdir /logs && chown 10001:10001 /logs
VOLUME /logs
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
CMD ["skline", "serve", "--host", "0.0.0.0", "--port", "8000"]

# The base image has no bytecode of Python's own library, and the root is read-only. The imports in the targets below write
# that of the modules that the service needs, which every start would compile again otherwise.
FROM service AS plan
COPY --from=plan-libraries /venv /venv
COPY --from=plan-libraries /sbom.cdx.json sbom.cdx.json
COPY src/model src/model
COPY serving serving
COPY artifact artifact
RUN python -m compileall -q src serving \
    && python -c "import skline.commands.serve, skline.serving.app, skline.serving.server.run" \
    && python -m skline.scoring.golden_verification artifact "$SKLINE_ARTIFACT_DIGEST" --plan-only
USER 10001:10001

FROM service AS full
COPY --from=full-libraries /venv /venv
COPY --from=full-libraries /sbom.cdx.json sbom.cdx.json
# LightGBM needs the OpenMP runtime of the system, which slim images lack; the wheel of scikit-learn contains it.
RUN ln -s /venv/lib/python3.*/site-packages/scikit_learn.libs/libgomp-*.so.* /usr/lib/libgomp.so.1
COPY src/model src/model
COPY serving serving
COPY artifact artifact
RUN python -m compileall -q src serving \
    && python -c "import skline.commands.serve, skline.serving.app, skline.serving.server.run" \
    && python -m skline.scoring.golden_verification artifact "$SKLINE_ARTIFACT_DIGEST"
USER 10001:10001
