# The prediction service: hashed libraries, the engine, the project's code and the artifact; nothing of training.
# `just image` builds the engine's wheel and this image.
# docker run -p 8000:8000 -e SKLINE_SECURITY__API_KEYS="$(cat keys.json)" service     (`skline key new` creates keys.json)
FROM python:3.12-slim-bookworm AS build
COPY requirements/serving.txt dist/*.whl /install/
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r /install/serving.txt \
    && /venv/bin/pip install --no-cache-dir --no-deps --no-index /install/*.whl \
    && /venv/bin/pip uninstall -qy pip \
    && find /venv -type d -name tests -prune -exec rm -rf {} +

FROM python:3.12-slim-bookworm
# The digest comes from outside the artifact; an image for another artifact does not build.
ARG ARTIFACT_DIGEST=""
LABEL org.opencontainers.image.title="skline prediction service" skline.artifact.sha256="$ARTIFACT_DIGEST"
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 \
    SKLINE_ARTIFACT=/app/artifact SKLINE_ARTIFACT_DIGEST=$ARTIFACT_DIGEST SKLINE_ENVIRONMENT=production \
    SKLINE_LOG__DATABASE=/logs/predictions.db SKLINE_LOG__PARTITIONS=/logs/predictions
WORKDIR /app
COPY --from=build /venv /venv
# LightGBM needs the OpenMP runtime of the system, which slim images lack; the wheel of scikit-learn contains it.
RUN ln -s /venv/lib/python3.*/site-packages/scikit_learn.libs/libgomp-*.so.* /usr/lib/libgomp.so.1
COPY src/model src/model
COPY serving serving
COPY artifact artifact
RUN python -m compileall -q src serving && python -m skline.scoring.golden_verification artifact "$ARTIFACT_DIGEST"
# The root is read-only: the prediction log needs a volume, or SKLINE_LOG__DATABASE=postgresql://…
RUN mkdir /logs && chown 10001:10001 /logs
VOLUME /logs
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
CMD ["skline", "serve", "--host", "0.0.0.0", "--port", "8000"]
