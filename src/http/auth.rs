//! Who asks: by `Authorization: Bearer`, and no other way.

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use super::{problem::Problem, routes::App};
use crate::access::{Identity, TokenRole};

/// Anybody with a good token.
pub(super) struct Caller(pub(super) Identity);

/// Staff or another program: not a kiosk, which stands in public.
pub(super) struct Insider;

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let text = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = text.and_then(bearer);
        let refused = "send a token in the header Authorization: Bearer TOKEN (`showfloor token issue` makes one)";
        let token = token.ok_or_else(|| Problem::new(401, refused))?;
        match app.parts.gate.identify(token).await {
            Ok(Some(identity)) => Ok(Self(identity)),
            Ok(None) => Err(Problem::new(401, "this token is not valid, or was revoked")),
            Err(error) => {
                tracing::error!("tokens cannot be read: {error}");
                Err(Problem::new(503, "tokens cannot be checked just now; try again"))
            }
        }
    }
}

impl FromRequestParts<App> for Insider {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Caller(identity) = Caller::from_request_parts(parts, app).await?;
        if identity.role == TokenRole::Kiosk {
            return Err(Problem::new(403, "a kiosk's token does not open this"));
        }
        Ok(Self)
    }
}

fn bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
