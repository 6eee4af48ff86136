# CPU:   docker build -t restored .
# CUDA:  docker build -t restored:cuda --build-arg TORCH_INDEX= .
# How to run it: docs/operating.md, "In a container".
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
# A second package index, with the CPU build of torch; the default build carries CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Extras of the package, such as "[notify,web]"; the page is in the image.
ARG EXTRAS=[web]
COPY . /src
RUN /src/docker/install /src /opt/restored "${TORCH_INDEX}" "${EXTRAS}" \
    && /src/docker/sbom /opt/restored

FROM python:${PYTHON}-slim
# What the image was built from: docker build --build-arg REVISION="$(git rev-parse HEAD)" .
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="restored" \
      org.opencontainers.image.description="The restore daemon for photographs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
ARG UID=1000
ARG GID=1000
# tini is process 1: it reaps what a health check or an exec leaves behind, and passes signals on.
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini=0.19.* \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o "${UID}" -g "${GID}" /station /models /config
COPY --from=build /opt/restored /opt/restored
COPY --chmod=755 docker/serve /opt/restored/bin/serve
# Only /station, /models and /tmp are written, whoever the container runs as.
ENV PATH=/opt/restored/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    USER=restored \
    HF_HOME=/models/huggingface \
    RESTORED_MODELS_DIR=/models \
    RESTORED_STATION=/station \
    RESTORED_CONFIG=/config \
    RESTORED_ALIVE_FILE=/tmp/restored.alive
VOLUME ["/station", "/models", "/config"]
WORKDIR /station
USER ${UID}:${GID}
STOPSIGNAL SIGTERM
# The daemon touches the file every 5 s while the loop and the worker make progress. Five minutes,
# because hashing a large file on a slow disk takes minutes.
HEALTHCHECK --interval=1m --timeout=10s --start-period=2m --retries=2 \
    CMD ["find", "/tmp/restored.alive", "-mmin", "+4", "-exec", "false", "{}", "+"]
ENTRYPOINT ["/usr/bin/tini", "--", "serve"]
CMD ["run"]
