//! Tasks that run beside the requests for as long as the server does.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Such a task. Dropping it lets it end by itself, [`stop`](Background::stop) waits until it has.
#[derive(Debug)]
pub struct Background {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// How a task hears that it is to end.
#[derive(Debug)]
pub struct Stopped(oneshot::Receiver<()>);

impl Stopped {
    /// Waits so long; whether the task is to end.
    pub async fn within(&mut self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.heard()).await.is_ok()
    }

    /// Waits until the task is to end.
    pub async fn heard(&mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Background {
    /// Does `work` at once and then again after each pause, until it is stopped. Work under way is then broken off: its
    /// transaction rolls back, and the next server does it again.
    #[must_use]
    pub fn every(pause: Duration, work: impl AsyncFn() + 'static) -> Self {
        Self::run(async move |mut stopped| {
            loop {
                tokio::select! {
                    () = stopped.heard() => return,
                    () = work() => {}
                }
                if stopped.within(pause).await {
                    return;
                }
            }
        })
    }

    /// Runs a task that asks for itself whether it is to end, on the thread at hand.
    #[must_use]
    pub fn run(task: impl AsyncFnOnce(Stopped) + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self {
            stop,
            task: tokio::task::spawn_local(task(Stopped(stopped))),
        }
    }

    /// The same on another runtime.
    #[must_use]
    pub fn run_on<T>(runtime: &Handle, task: impl FnOnce(Stopped) -> T) -> Self
    where
        T: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        Self {
            stop,
            task: runtime.spawn(task(Stopped(stopped))),
        }
    }

    /// Tells it to end and waits until it has.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[actix_web::test]
    async fn work_is_done_again_until_it_is_stopped_and_no_more_afterwards() {
        let done = Rc::new(Cell::new(0));
        let counted = done.clone();
        let task = Background::every(Duration::ZERO, async move || counted.set(counted.get() + 1));
        while done.get() < 3 {
            tokio::task::yield_now().await;
        }
        task.stop().await;
        let last = done.get();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(done.get(), last);
    }

    #[actix_web::test]
    async fn work_that_never_ends_does_not_hold_up_a_stop() {
        let task = Background::every(Duration::ZERO, async || std::future::pending().await);
        task.stop().await;
    }

    #[actix_web::test]
    async fn a_task_of_its_own_finishes_what_it_wants_to() {
        let done = Rc::new(Cell::new(false));
        let told = done.clone();
        let task = Background::run(async move |mut stopped| {
            stopped.heard().await;
            told.set(true);
        });
        task.stop().await;
        assert!(done.get());
    }
}
