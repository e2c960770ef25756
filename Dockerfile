# The image of Torana: `docker build -t torana .`
#
# Stands at the top because that is where `docker build .` looks. `.ci/image` makes the same image of a binary
# that is built already, where no registry can be reached; what follows the last FROM is read from here.

# As in rust-toolchain.toml; a test compares them.
ARG RUST=1.95.0
FROM rust:${RUST}-bookworm AS build
WORKDIR /src
COPY . .
RUN rustup target add wasm32-wasip2 \
    && cargo build --release --locked --package torana \
    && mkdir -p /image/usr/local/bin /image/etc/torana /image/var/lib/torana /image/var/cache/torana \
    && cp target/release/torana /image/usr/local/bin/

# glibc, libgcc and the certificates of public authorities; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build --chown=65532:65532 /image/ /
USER 65532:65532
WORKDIR /var/lib/torana
# Compiled plugins are kept here.
ENV XDG_CACHE_HOME=/var/cache
# For the health check; on the entry point `traefik`, :8080 unless the configuration says otherwise.
ENV TORANA_PING=true
EXPOSE 80/tcp 443/tcp 443/udp 8080/tcp
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/local/bin/torana", "healthcheck"]
LABEL org.opencontainers.image.title="Torana" org.opencontainers.image.description="A programmable gateway that reads Traefik configuration" org.opencontainers.image.licenses="MIT OR Apache-2.0"
ENTRYPOINT ["/usr/local/bin/torana"]
