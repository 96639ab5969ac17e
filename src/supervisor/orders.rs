//! Where orders to stop come from.

use std::io;

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, one order each; never ends.
///
/// # Errors
/// When the system refuses to tell of signals.
pub fn signals() -> io::Result<BoxStream<'static, ()>> {
    let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(stream::select(each(terminate), each(interrupt)).boxed())
}

fn each(signal: Signal) -> BoxStream<'static, ()> {
    stream::unfold(signal, |mut signal| async move { signal.recv().await.map(|()| ((), signal)) }).boxed()
}
