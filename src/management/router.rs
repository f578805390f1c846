//! Which call is answered by what.

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, post, put},
};
use ferrymq_admin_api::{AdminPort, Reason, routes};

use crate::{guard, handlers, json::BODY_LIMIT, refused::Refused, token::Token};

/// The admin API of this node.
pub fn router<P: AdminPort>(port: P, token: Token) -> Router {
    let probes = Router::new()
        .route(routes::LIVEZ, get(handlers::livez))
        .route(routes::READYZ, get(handlers::readyz::<P>))
        .method_not_allowed_fallback(not_served);
    let calls = Router::new()
        .route(routes::NODE, get(handlers::node::<P>))
        .route(routes::CLUSTER, get(handlers::cluster::<P>))
        .route(routes::FORM, post(handlers::form::<P>))
        .route(routes::SAFE_TO_STOP, get(handlers::safe_to_stop::<P>))
        .route(routes::HAND_OVER, post(handlers::hand_over::<P>))
        .route(routes::DRAINING, put(handlers::drain::<P>))
        .route(routes::NODES, delete(handlers::remove_node::<P>))
        .route(routes::BACKUP, post(handlers::back_up::<P>).delete(handlers::remove_backup::<P>))
        .route(routes::TOPIC, put(handlers::declare_topic::<P>).delete(handlers::remove_topic::<P>))
        .route(routes::TOPICS, get(handlers::topics::<P>))
        .route(routes::TOPICS_AFTER, post(handlers::topics_after::<P>))
        .route(routes::USER, put(handlers::declare_user::<P>).delete(handlers::remove_user::<P>))
        .route(routes::USERS, get(handlers::users::<P>).put(handlers::put_user::<P>))
        .method_not_allowed_fallback(not_served)
        // Also before the fallback, so that nobody learns without the token what is served here.
        .fallback(not_served)
        .layer(from_fn_with_state(token, guard::check_token));
    probes.merge(calls).layer(DefaultBodyLimit::max(BODY_LIMIT)).layer(from_fn(guard::limit_time)).with_state(port)
}

pub(crate) async fn not_served(request: Request) -> Refused {
    let (method, path) = (request.method(), request.uri().path());
    Refused::new(Reason::NotFound, format!("{method} {path} is not a call that is served here"))
}
