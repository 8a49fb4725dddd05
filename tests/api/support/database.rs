//! A database for each test, made from a template that was migrated once. The server is one of our own, in a temporary
//! directory that goes with the process; `SAMPARK_TEST_DATABASE_URL` names another.

use std::path::PathBuf;

use sampark::platform::embedded_postgres::{EmbeddedPostgres, Options};
use sampark::platform::migrations;
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;
use uuid::Uuid;

static SERVER: OnceCell<Server> = OnceCell::const_new();

struct Server {
    /// Of the maintenance database.
    admin: String,
    template: String,
    /// Held so that it runs until the process ends.
    private: Option<EmbeddedPostgres>,
}

/// A database that is dropped with the test.
pub struct TestDatabase {
    /// For who owns everything.
    pub url: String,
    /// For the server: a login that owns nothing, where the server is ours to make one.
    pub server_url: String,
    name: String,
    admin: String,
    scratch: PathBuf,
}

impl TestDatabase {
    pub async fn create() -> Self {
        let server = SERVER.get_or_init(Server::start).await;
        let name = format!("sampark_test_{}", Uuid::new_v4().simple());
        execute(
            &server.admin,
            &format!("CREATE DATABASE {name} TEMPLATE {}", server.template),
        )
        .await;
        let scratch = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&scratch).unwrap();
        Self {
            url: with_database(&server.admin, &name),
            server_url: server.server_url(&name),
            name,
            admin: server.admin.clone(),
            scratch,
        }
    }

    /// The same in a tablespace.
    pub async fn create_in(tablespace: &str) -> Self {
        let server = SERVER.get_or_init(Server::start).await;
        let made = Self::create_empty().await;
        execute(&server.admin, &format!("DROP DATABASE {}", made.name)).await;
        let sql = format!(
            "CREATE DATABASE {} TEMPLATE {} TABLESPACE {tablespace}",
            made.name, server.template
        );
        execute(&server.admin, &sql).await;
        made
    }

    /// A statement of the server's superuser, outside any database of a test.
    pub async fn administer(sql: &str) {
        execute(&SERVER.get_or_init(Server::start).await.admin, sql).await;
    }

    /// An empty database, not migrated.
    pub async fn create_empty() -> Self {
        let server = SERVER.get_or_init(Server::start).await;
        let name = format!("sampark_test_{}", Uuid::new_v4().simple());
        execute(&server.admin, &format!("CREATE DATABASE {name}")).await;
        let scratch = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&scratch).unwrap();
        Self {
            url: with_database(&server.admin, &name),
            server_url: server.server_url(&name),
            name,
            admin: server.admin.clone(),
            scratch,
        }
    }

    /// A path in a directory of the test's own.
    pub fn scratch_file(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// A connection beside the server's, for looking (and for doing what no request may).
    pub async fn connect(&self) -> tokio_postgres::Client {
        connect(&self.url).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.scratch);
        let (admin, name) = (self.admin.clone(), self.name.clone());
        // Dropping wants to wait, and this runtime is ending: a thread with a runtime of its own.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(execute(
                &admin,
                &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            ));
        });
        let _ = dropping.join();
    }
}

impl Server {
    fn server_url(&self, database: &str) -> String {
        match &self.private {
            Some(private) => private.server_url(database),
            None => with_database(&self.admin, database),
        }
    }

    async fn start() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "tests are told by the environment where to run"
        )]
        let given = std::env::var("SAMPARK_TEST_DATABASE_URL").ok();
        #[expect(
            clippy::disallowed_methods,
            reason = "the programs of PostgreSQL are looked for in PATH"
        )]
        let path = std::env::var_os("PATH");
        let (admin, private) = match given {
            Some(url) => (url, None),
            None => {
                // On a thread and runtime that outlive every test.
                let private = std::thread::spawn(move || {
                    let runtime = Box::leak(Box::new(
                        tokio::runtime::Builder::new_multi_thread()
                            .worker_threads(1)
                            .enable_all()
                            .build()
                            .unwrap(),
                    ));
                    runtime.block_on(EmbeddedPostgres::start(Options {
                        dir: std::env::temp_dir().join(format!("sampark-test-{}", std::process::id())),
                        bin: None,
                        path,
                        durable: false,
                        archive: None,
                        remove_on_exit: true,
                        settings: vec![("max_connections".to_owned(), "400".to_owned())],
                    }))
                });
                let private = private.join().unwrap().unwrap_or_else(|error| panic!("{error}"));
                (private.url("postgres"), Some(private))
            }
        };
        let template = format!("sampark_template_{}", migrations_hash());
        make_template(&admin, &template).await;
        Self {
            admin,
            template,
            private,
        }
    }
}

/// Makes the template unless another process did; an advisory lock keeps two from making it at once.
async fn make_template(admin: &str, template: &str) {
    let client = connect(admin).await;
    client
        .batch_execute("SELECT pg_advisory_lock(1396788545, 1)")
        .await
        .unwrap();
    let known = "SELECT 1 FROM pg_database WHERE datname = $1";
    if client.query(known, &[&template]).await.unwrap().is_empty() {
        let draft = format!("{template}_draft");
        client
            .batch_execute(&format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)"))
            .await
            .unwrap();
        client
            .batch_execute(&format!("CREATE DATABASE {draft}"))
            .await
            .unwrap();
        migrations::run(&with_database(admin, &draft)).await.unwrap();
        client
            .batch_execute(&format!("ALTER DATABASE {draft} RENAME TO {template}"))
            .await
            .unwrap();
    }
    client
        .batch_execute("SELECT pg_advisory_unlock(1396788545, 1)")
        .await
        .unwrap();
}

/// A name for this set of migrations.
fn migrations_hash() -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut folders: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let mut all = Vec::new();
    for folder in folders {
        all.extend_from_slice(folder.file_name().unwrap().as_encoded_bytes());
        all.extend(std::fs::read(folder.join("up.sql")).unwrap());
    }
    let digest = sampark::journal::Digest::of_bytes(&all).0;
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The same server, another database.
pub fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url
        .split_once('?')
        .map_or((url, ""), |(base, query)| (base, query));
    let at = base.rfind('/').unwrap();
    let suffix = if query.is_empty() {
        String::new()
    } else {
        format!("?{query}")
    };
    format!("{}/{name}{suffix}", &base[..at])
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn execute(url: &str, sql: &str) {
    // Creating from a template fails while another connection looks at the template; that passes.
    for attempt in 1.. {
        match connect(url).await.batch_execute(sql).await {
            Ok(()) => return,
            Err(error) if attempt < 50 && error.to_string().contains("db error") => {
                tokio::task::yield_now().await
            }
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}
