# redis-hive: one static binary, and nothing else.
#
#   docker build -t redis-hive:0.1.0 .
#
# Two builds of one commit with one toolchain make the same binary: crates are locked, and no path and no time
# gets in. With podman's `--timestamp 0` the whole image is the same.
#
# BUILDER_IMAGE needs a C compiler and Rust 1.88 or newer. Where its Rust is too old, mount the toolchain of
# this machine, and with it the crates that are already here:
#
#   podman build --build-arg BUILDER_IMAGE=docker.io/library/buildpack-deps:bookworm \
#     --volume "$(rustc --print sysroot)":/rust:ro --volume "${CARGO_HOME:-$HOME/.cargo}/registry":/cargo/registry .
ARG BUILDER_IMAGE=docker.io/library/rust:1.95-bookworm
ARG FINAL_IMAGE=scratch

# hadolint ignore=DL3006
FROM ${BUILDER_IMAGE} AS build
# A mounted toolchain comes before that of the image.
ENV PATH=/rust/bin:$PATH
ENV CARGO_HOME=/cargo CARGO_TARGET_DIR=/target
WORKDIR /src
# getrandom finds its system call by the dynamic linker, which a static binary has not: so it is told.
# `--target` keeps these flags from what runs during the build. Sources are mounted, not copied: so they keep
# their times, and a cargo that finds its former /target mounted sees what has changed.
RUN --mount=type=bind,source=Cargo.toml,target=/src/Cargo.toml \
    --mount=type=bind,source=Cargo.lock,target=/src/Cargo.lock \
    --mount=type=bind,source=src,target=/src/src \
    set -eu; \
    target=$(rustc --print host-tuple); \
    remap="--remap-path-prefix=/cargo=cargo --remap-path-prefix=/src=src"; \
    export RUSTFLAGS="-Ctarget-feature=+crt-static --cfg=getrandom_backend=\"linux_getrandom\" $remap"; \
    export CFLAGS="-ffile-prefix-map=/cargo=cargo" SOURCE_DATE_EPOCH=0; \
    cargo build --locked --release --bin redis-hive --target "$target"; \
    cp "/target/$target/release/redis-hive" /redis-hive; \
    touch --date=@0 /redis-hive

# hadolint ignore=DL3006
FROM ${FINAL_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="redis-hive" \
      org.opencontainers.image.description="One small binary beside every Redis: finds its peers, elects a leader without a quorum, proxies clients to the master" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /redis-hive /redis-hive
USER 65532:65532
# Writes, reads, peers, HTTP.
EXPOSE 6380 6381 6390 6391
# For `kubectl exec ... -- redis-hive status`.
ENV PATH=/
ENTRYPOINT ["/redis-hive"]
