//! How connections are made, and what each is set to.

use deadpool::managed::{TimeoutType, Timeouts};
use diesel::ConnectionError;
use diesel_async::pooled_connection::deadpool::{Pool, PoolError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{CONNECT_WAIT, POOL_WAIT};
use crate::platform::dial::dial;
use crate::platform::error::{ApiError, Transient, is_full};

/// What every connection is set to: no wait is without a bound, and whoever logged in, it is the server's role that works,
/// which owns nothing (see `wall`).
const SESSION: &str = "SET ROLE sampark_server; SET statement_timeout = '2s'; SET lock_timeout = '1s'; \
    SET idle_in_transaction_session_timeout = '5s'; SET timezone = 'UTC'; SET jit = off";

/// A pool of at most `size` connections, which live on a runtime of their own.
pub(super) fn pool(url: &str, size: usize, handle: Handle) -> Result<Pool<AsyncPgConnection>, ApiError> {
    let mut config = ManagerConfig::default();
    // Whether a connection still works shows when a transaction is begun on it; see `begin`.
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |url| {
        let handle = handle.clone();
        let url = url.to_owned();
        async move {
            let mut connecting = Wanted(handle.spawn(async move { connect(&url).await }));
            (&mut connecting.0).await.map_err(|error| {
                ConnectionError::CouldntSetupConfiguration(diesel::result::Error::QueryBuilderError(
                    Box::new(error),
                ))
            })?
        }
        .boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config(url, config);
    Pool::builder(manager)
        .max_size(size)
        .runtime(deadpool::Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: Some(POOL_WAIT),
            create: Some(CONNECT_WAIT),
            recycle: Some(CONNECT_WAIT),
        })
        .build()
        .map_err(ApiError::internal)
}

/// A task that ends with whoever waits for it. Connections that nobody waits for any more would be made all the same, each
/// holding up those that are wanted: on a machine that is slow for a while, none would come in time ever again.
struct Wanted<T>(JoinHandle<T>);

impl<T> Drop for Wanted<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn connect(url: &str) -> diesel::ConnectionResult<AsyncPgConnection> {
    let mut conn = establish(url).await?;
    conn.batch_execute(SESSION)
        .await
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(conn)
}

/// A connection as it comes, in nobody's role.
pub async fn establish(url: &str) -> diesel::ConnectionResult<AsyncPgConnection> {
    let (client, wire) = dial(url)
        .await
        .map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
    AsyncPgConnection::try_from_client_and_connection(client, wire).await
}

pub(super) fn pool_error(error: PoolError) -> ApiError {
    match error {
        PoolError::Timeout(TimeoutType::Wait) => {
            ApiError::unavailable("no connection to the database became free in time", error)
        }
        other => {
            // A server that has no place left is within reach: other connections work.
            let full = is_full(&other.to_string());
            let error = ApiError::unavailable("the database cannot be reached", other);
            if full {
                error
            } else {
                error.with_transient(Transient::Disconnected)
            }
        }
    }
}
