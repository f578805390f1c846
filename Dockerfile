# The image for those who have a container engine: the same static binary in the same empty root
# that `cargo xtask image` packs without one.
ARG RUST=1.95
FROM rust:${RUST}-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ENV CARGO_PROFILE_RELEASE_STRIP=symbols RUSTFLAGS="-C target-feature=+crt-static"
# The target is named although it is the host's, so that the flag does not reach build scripts and macros.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    target="$(uname -m)-unknown-linux-gnu" \
    && cargo build --release --locked --package ferrymq --target "$target" \
    && install -D "target/$target/release/ferrymq" /root-of-image/ferrymq \
    && install -d -m 1777 /root-of-image/tmp /root-of-image/data

FROM scratch
LABEL org.opencontainers.image.title="ferrymq" \
      org.opencontainers.image.description="Message queues for Kubernetes: operator and broker" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /root-of-image/ /
USER 10001:10001
ENTRYPOINT ["/ferrymq"]
