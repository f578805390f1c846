//! What stands before every call: the token and the time limit.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::header::AUTHORIZATION,
    middleware::Next,
    response::{IntoResponse, Response},
};
use ferrymq_admin_api::Reason;

use crate::{refused::Refused, token::Token};

/// The longest that a request may take, its body included. Longer than a hand-over, which may take 20 seconds.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Lets through who shows the token.
pub(crate) async fn check_token(State(token): State<Token>, request: Request, next: Next) -> Response {
    match request.headers().get(AUTHORIZATION) {
        Some(shown) if token.is_shown_by(shown.as_bytes()) => next.run(request).await,
        Some(_) => refuse("this is not the token of this broker; send the content of its token file"),
        None => refuse("this call needs 'Authorization: Bearer <token>'; send the content of the broker's token file"),
    }
}

fn refuse(message: &str) -> Response {
    Refused::new(Reason::Unauthorized, message).into_response()
}

/// Ends a request that takes too long.
pub(crate) async fn limit_time(request: Request, next: Next) -> Response {
    let call = format!("{} {}", request.method(), request.uri().path());
    tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await.unwrap_or_else(|_| {
        tracing::warn!(%call, "an admin call took too long and was given up");
        let seconds = REQUEST_LIMIT.as_secs();
        Refused::new(Reason::Unavailable, format!("{call} was not done within {seconds} seconds; try again"))
            .into_response()
    })
}
