//! Work that waits for the disk, off the threads that serve.

use std::io;

/// Does the work on a thread for such, and gives its result.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
