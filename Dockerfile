# syntax=docker/dockerfile:1.7
# One image for every role: the program, its library, the dags. Built natively for linux/amd64 and linux/arm64:
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=.. --build-arg REVISION=.. --tag streamify .
# Base images are pinned by version; a registry's digests belong into the release workflow, which sees them.

ARG RUST=1.95
ARG DEBIAN=bookworm
ARG NODE=22

# The prebuilt DuckDB of the target's architecture. It is data here, so no emulation is needed.
FROM --platform=$BUILDPLATFORM node:${NODE}-${DEBIAN}-slim AS duckdb
ARG TARGETARCH
WORKDIR /source
COPY xtask/duckdb.sh xtask/duckdb.sh
RUN STREAMIFY_CACHE=/cache xtask/duckdb.sh "$TARGETARCH" > /cache.path \
    && install -D "$(cat /cache.path)/libduckdb.so" /library/libduckdb.so

# Manifests and empty sources: the same bytes as long as no dependency changes, and so the next layer is cached.
FROM debian:${DEBIAN}-slim AS skeleton
WORKDIR /source
RUN --mount=type=bind,target=/context /context/deploy/image/skeleton.sh /context /source

FROM rust:${RUST}-${DEBIAN} AS build
# hadolint ignore=DL3008 # Debian's point releases replace versions; a pinned one would stop building.
RUN apt-get update \
    && apt-get install -y --no-install-recommends clang mold \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
# The path of the library in .cargo/config.toml.
COPY --from=duckdb /library .libs/duckdb
COPY --from=skeleton /source .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    cargo build --release --locked --package app
COPY app app
COPY migrations migrations
COPY orchestrator orchestrator
COPY tasks tasks
COPY testkit testkit
COPY web web
# Sources are older than what was built from the empty ones; cargo goes by time.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    find . -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --package app \
    && mkdir /output \
    && strip --strip-debug -o /output/streamify target/release/streamify \
    && cp .libs/duckdb/libduckdb.so /output/libduckdb.so

FROM debian:${DEBIAN}-slim
RUN --mount=type=bind,target=/context \
    --mount=type=bind,from=build,source=/output,target=/output \
    --mount=type=bind,from=build,source=/etc/ssl/certs/ca-certificates.crt,target=/ca-certificates.crt \
    /context/deploy/image/assemble.sh --root / --binary /output/streamify --library /output/libduckdb.so \
    --dags /context/dags --certificates /ca-certificates.crt --notices /context/LICENSE

ENV PATH=/opt/streamify/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    STREAMIFY_DATA_DIR=/var/lib/streamify \
    STREAMIFY_DAGS_DIR=/opt/streamify/dags \
    STREAMIFY_HOST=0.0.0.0 \
    STREAMIFY_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/streamify
EXPOSE 8080
STOPSIGNAL SIGTERM
# The node of this container, by its heartbeat and its own pages: right for every role.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 CMD ["streamify", "health"]
ENTRYPOINT ["streamify"]
CMD ["node"]

# Last, so that a new revision leaves the layers above as they are.
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Streamify" \
    org.opencontainers.image.description="A data platform in one binary: scheduler, workers, streaming, models, checks, pages" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.created="$CREATED"
