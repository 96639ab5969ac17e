//! What systemd is told: ready, stopping, how the daemon is. Without systemd there is nobody to tell, which is no error.

use std::convert::Infallible;

use sd_notify::NotifyState;
use tokio::sync::watch;

pub(super) fn tell(state: &[NotifyState<'_>]) {
    // A socket that is gone is systemd's affair; the daemon goes on.
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("systemd could not be told: {error}");
    }
}

/// A start takes longer than systemd expects, and gets on: two minutes more from now.
pub fn still_starting() {
    tell(&[NotifyState::ExtendTimeoutUsec(120_000_000), NotifyState::Status("salvaging a damaged database")]);
}

/// Keeps the line of `systemctl status` as the parts are, for ever.
pub(super) async fn report(mut degraded: watch::Receiver<Vec<String>>) -> Infallible {
    loop {
        let text = status(&degraded.borrow_and_update());
        tell(&[NotifyState::Status(&text)]);
        if degraded.changed().await.is_err() {
            // Nobody is left who could change it.
            std::future::pending::<()>().await;
        }
    }
}

fn status(degraded: &[String]) -> String {
    if degraded.is_empty() { "all parts run".to_owned() } else { format!("degraded: {}", degraded.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_the_parts_that_ail() {
        assert_eq!(status(&[]), "all parts run");
        assert_eq!(status(&["anchors".to_owned(), "hub".to_owned()]), "degraded: anchors, hub");
    }
}
