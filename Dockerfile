# The image of api-gateway: the program, its sample routes and certificates, no shell. Built with nothing but Rust and a C
# compiler. `docker build --build-arg RUST_IMAGE=rust@sha256:… --build-arg BASE_IMAGE=…` pins the images by digest.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# What the dependencies are read from, and nothing else: this stage's result changes only when a manifest does. The empty
# programs and libraries stand in for ours.
FROM ${RUST_IMAGE} AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock -delete \
    && for package in bench crates/* fuzz resilience; do \
        mkdir -p "$package/src" && touch "$package/src/lib.rs" && echo 'fn main() {}' > "$package/src/main.rs"; \
    done \
    # Some builders go by the time of files, too.
    && find . -depth -exec touch --date=@0 {} +

# The dependencies, compiled: kept by the builder until a manifest changes.
FROM ${RUST_IMAGE} AS build
ARG PROFILE=dist
# The toolchain is the image's; none is to be fetched.
ENV RUSTUP_TOOLCHAIN=1.95.0 CARGO_TARGET_DIR=/target
WORKDIR /src
COPY --from=manifests /src .
RUN cargo build --locked --profile "$PROFILE" --package api-gateway --bin api-gateway
COPY . .
# Cargo goes by the time of files, and those of a checkout may be older than the stand-ins.
RUN find crates -name '*.rs' -exec touch {} + \
    && cargo build --locked --profile "$PROFILE" --package api-gateway --bin api-gateway \
    && cp "/target/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")/api-gateway" /api-gateway

FROM ${BASE_IMAGE}
COPY --from=build /api-gateway /usr/local/bin/api-gateway
COPY configs/routes.json configs/routes.schema.json /etc/api-gateway/configs/
WORKDIR /etc/api-gateway
# "nonroot" by its number, so that orchestrators can see that it is not root.
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/usr/local/bin/api-gateway", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/api-gateway"]
# Without a command the image shows itself, with sample backends inside; `run` serves your own routes.
CMD ["demo"]
