# The server alone; PostgreSQL runs beside it (docker-compose.yml).
FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY migrations migrations
# The manifest names them; they are not built here.
RUN mkdir -p tests/api bench && echo 'fn main() {}' > tests/api/main.rs && echo 'fn main() {}' > bench/main.rs \
    && cargo build --release --locked --bin sampark

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/sampark sampark
COPY --from=build /src/target/release/sampark /usr/local/bin/sampark
USER sampark
WORKDIR /var/lib/sampark
ENV SAMPARK_LISTEN=0.0.0.0:8080 SAMPARK_DATA_DIR=/var/lib/sampark/data SAMPARK_LOG_FORMAT=json
VOLUME /var/lib/sampark/data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["sampark", "healthcheck"]
ENTRYPOINT ["sampark"]
CMD ["serve"]
