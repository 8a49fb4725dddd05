//! Every variable that the program reads, as the table in docs/configuration.md shows it.

/// One environment variable: its name, its default as shown to people, what it is for.
#[derive(Debug)]
pub struct Variable {
    pub name: &'static str,
    pub default: &'static str,
    pub about: &'static str,
}

/// Every variable that the program reads.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "DATABASE_URL",
        default: "the private PostgreSQL",
        about: "`postgres://user:password@host:port/database`; for a server best a login `sampark_server`, see docs/operating.md. To another machine add `?sslmode=verify-full&sslrootcert=/path/ca.pem` (without `sslrootcert`: the public authorities)",
    },
    Variable {
        name: "SAMPARK_OWNER_DATABASE_URL",
        default: "`DATABASE_URL`",
        about: "the same for the owner of the tables: migrations and commands",
    },
    Variable {
        name: "SAMPARK_LISTEN",
        default: "127.0.0.1:8080",
        about: "address and port to serve on",
    },
    Variable {
        name: "SAMPARK_DATA_DIR",
        default: ".sampark",
        about: "private PostgreSQL, signing keys, seal keys, data keys",
    },
    Variable {
        name: "SAMPARK_SIGNING_KEY_FILES",
        default: "made in the data directory",
        about: "comma-separated files of the keys that sign access tokens (P-256, PKCS#8): the first that is there signs, all verify",
    },
    Variable {
        name: "SAMPARK_SEAL_KEY_FILES",
        default: "made in the data directory",
        about: "comma-separated files of the keys that seal the journal (Ed25519, PEM): the first private one signs, all verify",
    },
    Variable {
        name: "SAMPARK_CODE_KEY_FILE",
        default: "made in the data directory",
        about: "file of the key under which one-time codes and second factors are kept (32 random bytes, plain or in base64); several with commas between while it is replaced: the first that is there writes, all read",
    },
    Variable {
        name: "SAMPARK_DATA_KEYS_FILE",
        default: "made in the data directory",
        about: "file of the data keys that seal phones and notes (docs/privacy.md); without it they cannot be read any more",
    },
    Variable {
        name: "SAMPARK_PG_BIN",
        default: "found",
        about: "directory of the PostgreSQL programs for the private PostgreSQL",
    },
    Variable {
        name: "SAMPARK_ARCHIVE_DIR",
        default: "none",
        about: "directory of backups in which the private PostgreSQL archives its write-ahead log and the list of erasures is kept (docs/operations.md)",
    },
    Variable {
        name: "SAMPARK_DATABASE_POOL",
        default: "16",
        about: "connections to the database, 2 to 200",
    },
    Variable {
        name: "SAMPARK_DATABASE_WAIT_MS",
        default: "800",
        about: "how long a request waits for its transaction to begin before it is answered 503, 100 to 60000",
    },
    Variable {
        name: "SAMPARK_STANDBY_LAG_SECONDS",
        default: "60",
        about: "how far a standby may be behind before a server that reads it answers 503, 1 to 3600",
    },
    Variable {
        name: "SAMPARK_DURABILITY",
        default: "refuse",
        about: "what to do at start with a database that may lose what it has acknowledged (`fsync`, `full_page_writes` or `synchronous_commit` off): `refuse` it, or `warn` at every start; missing checksums are always warned of",
    },
    Variable {
        name: "SAMPARK_WORKERS",
        default: "one a core",
        about: "threads that serve HTTP, 1 to 64",
    },
    Variable {
        name: "SAMPARK_RATE_ACCOUNT",
        default: "20",
        about: "requests a second of one account, on average; ten seconds' worth may come at once",
    },
    Variable {
        name: "SAMPARK_RATE_DEVICE",
        default: "10",
        about: "the same of one phone",
    },
    Variable {
        name: "SAMPARK_RATE_SERVICE",
        default: "50",
        about: "the same of one service",
    },
    Variable {
        name: "SAMPARK_RATE_ADDRESS",
        default: "100",
        about: "the same of one address, under `/v1/auth/` alone: thousands of phones share a carrier's address",
    },
    Variable {
        name: "SAMPARK_MAX_IN_FLIGHT",
        default: "1024",
        about: "requests under way at once; more are answered 503. Three quarters are for reads at most, an eighth for exports, reports and imports (docs/operating.md)",
    },
    Variable {
        name: "SAMPARK_BODY_SECONDS",
        default: "20",
        about: "how long a body may take to arrive, 1 to 20",
    },
    Variable {
        name: "SAMPARK_REQUEST_SECONDS",
        default: "5",
        about: "how long a request may take once its body has arrived, 1 to 60; imports, exports and recounts take as long as they do",
    },
    Variable {
        name: "SAMPARK_CORS_ORIGINS",
        default: "none",
        about: "comma-separated origins whose pages may call the API from a browser",
    },
    Variable {
        name: "SAMPARK_TRUSTED_PROXIES",
        default: "none",
        about: "comma-separated networks (`10.0.0.0/8`) of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed",
    },
    Variable {
        name: "SAMPARK_TLS_CERT_FILE",
        default: "plain HTTP",
        about: "PEM file of the certificate and its chain, for whoever wants no proxy in front",
    },
    Variable {
        name: "SAMPARK_TLS_KEY_FILE",
        default: "",
        about: "PEM file of its key",
    },
    Variable {
        name: "SAMPARK_OTP_SENDER",
        default: "console",
        about: "how one-time codes leave: `console` (a log line), `file:PATH` (a JSON line each) or `https://…` (a gateway, docs/gateway.md)",
    },
    Variable {
        name: "SAMPARK_OTP_GATEWAY_KEY",
        default: "",
        about: "the key that signs what is sent to the gateway, 32 characters or more",
    },
    Variable {
        name: "SAMPARK_OTP_GATEWAY_KEY_FILE",
        default: "",
        about: "a file that holds it instead",
    },
    Variable {
        name: "SAMPARK_OTP_PER_HOUR",
        default: "20000",
        about: "codes sent by message in an hour at most, over everyone; past it, sign-in by app or by a code read out still works",
    },
    Variable {
        name: "SAMPARK_OTP_PER_DAY",
        default: "100000",
        about: "the same for a day",
    },
    Variable {
        name: "SAMPARK_WEBHOOKS_ALLOW_LOOPBACK",
        default: "false",
        about: "`true`: webhooks may reach this machine itself, over http too; for tests alone",
    },
    Variable {
        name: "SAMPARK_TIME_ZONE",
        default: "Asia/Kolkata",
        about: "the zone in which days are counted (IANA name)",
    },
    Variable {
        name: "SAMPARK_PHONE_PREFIXES",
        default: "+91",
        about: "comma-separated prefixes of the phone numbers that workers may have",
    },
    Variable {
        name: "SAMPARK_LOG_FORMAT",
        default: "`pretty` on a terminal, else `json`",
        about: "how log lines look",
    },
    Variable {
        name: "RUST_LOG",
        default: "info",
        about: "what is logged, as `tracing` filters: `info,sampark=debug`; of other crates nothing below `info`, since they would log values that they are handed",
    },
];
