# Untried: no container engine was at hand where this was written. `docker build -t tenantry .`
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin tenantry && cp target/release/tenantry /tenantry

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /var/lib/tenantry --shell /usr/sbin/nologin tenantry \
    && install -d -o tenantry -g tenantry -m 700 /var/lib/tenantry
COPY --from=build /tenantry /usr/local/bin/tenantry
USER 10001:10001
WORKDIR /var/lib/tenantry
ENV TENANTRY_DATA__DIR=/var/lib/tenantry
VOLUME /var/lib/tenantry
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# The admin port answers inside the container only, unless server.admin_listen says otherwise.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8081 && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["tenantry"]
CMD ["serve"]
