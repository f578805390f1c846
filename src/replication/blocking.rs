//! Work that waits for the disk, off the threads that serve.

use std::io;

use crate::task;

/// Does the work on a thread for such, and gives its result.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::blocking(work).await.map_err(io::Error::other)?
}
