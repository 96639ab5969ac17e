//! The door to the WebSocket. Who comes with a bad token comes in, too, and is closed by the hub with 1008: a page cannot
//! see why an upgrade was refused.
//!
//! The `Origin` of a page is not looked at: there are no cookies here, so a page of somebody else has no token to misuse.

use axum::{
    extract::{Query, State},
    response::Response,
};

use super::{handshake::Handshake, routes::App};
use crate::{access::Identity, domain::Epoch, hub::Opened};

const PROTOCOL: &str = "showfloor.v1";
const MAX_ROOMS: usize = 8;

/// Answers the handshake and hands the connection to the hub.
pub(super) async fn open(
    State(app): State<App>,
    Query(query): Query<Vec<(String, String)>>,
    handshake: Handshake,
) -> Response {
    let asked = |key: &str| query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let offered = handshake.offered();
    let token = offered.iter().find_map(|protocol| protocol.strip_prefix("token.")).or_else(|| asked("token"));
    let identity = match (asked("ticket"), token) {
        (Some(ticket), _) => app.parts.gate.redeem(ticket),
        (None, Some(token)) => known(&app, token).await,
        (None, None) => None,
    };
    let rooms = query.iter().filter(|(name, _)| name == "room").map(|(_, room)| room.chars().take(100).collect());
    let opened = Opened {
        identity,
        rooms: rooms.take(MAX_ROOMS).collect(),
        resume: asked("resume").map(|text| resume(text).ok_or_else(|| "malformed".to_owned())),
        gzip: asked("compress") == Some("gzip"),
    };
    let answer = handshake.answer(PROTOCOL);
    app.parts.hub.accept(handshake.upgrade, opened);
    answer
}

async fn known(app: &App, token: &str) -> Option<Identity> {
    match app.parts.gate.identify(token).await {
        Ok(identity) => identity,
        Err(error) => {
            tracing::error!("tokens cannot be read: {error}");
            None
        }
    }
}

fn resume(text: &str) -> Option<(Epoch, u64)> {
    let (epoch, pos) = text.rsplit_once(':')?;
    Some((Epoch(epoch.parse().ok()?), pos.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_resume_at_is_an_epoch_and_a_position() {
        let epoch = Epoch(uuid::Uuid::nil());
        assert_eq!(resume("00000000-0000-0000-0000-000000000000:17"), Some((epoch, 17)));
        for bad in
            ["", "17", "x:17", "00000000-0000-0000-0000-000000000000:", "00000000-0000-0000-0000-000000000000:-1"]
        {
            assert_eq!(resume(bad), None, "{bad}");
        }
    }
}
