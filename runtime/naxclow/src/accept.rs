//! What all TCP listeners of the cloud share.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a listener rests when accepting fails: out of file handles, most likely, and others may
/// end meanwhile.
const REST: Duration = Duration::from_millis(100);

/// Gives each connection a task of its own, at most `most` at once, until `shutdown`; then waits
/// for the tasks. `serve` makes the task, or `None` to close the connection at once, as those beyond
/// `most` are.
pub(crate) async fn accept_each<F>(
    listener: TcpListener,
    most: usize,
    shutdown: &CancellationToken,
    mut serve: impl FnMut(TcpStream, SocketAddr) -> Option<F>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let (tasks, places) = (TaskTracker::new(), Arc::new(Semaphore::new(most)));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let Some(task) = serve(stream, peer) else {
            continue;
        };
        tasks.spawn(async move {
            task.await;
            drop(place);
        });
    }
    tasks.close();
    tasks.wait().await;
}
