//! One function for each call.

use axum::{extract::State, http::StatusCode};
use ferrymq_admin_api::{
    AdminPort, BackupRemoval, BackupRequest, BackupView, ClusterStatus, Draining, Formation, NewUser, NodeRemoval,
    NodeStatus, Reason, Safety, TopicDeclaration, TopicList, TopicRemoval, TopicView, TopicsAfter, UserDeclaration,
    UserRemoval, UserView,
};

use crate::{
    json::Json,
    refused::{Answer, Refused},
};

pub(crate) async fn livez() -> &'static str {
    "ok"
}

pub(crate) async fn readyz<P: AdminPort>(State(port): State<P>) -> Answer<&'static str> {
    if port.ready() { Ok("ok") } else { Err(Refused::new(Reason::Unavailable, port.node().message)) }
}

pub(crate) async fn node<P: AdminPort>(State(port): State<P>) -> Json<NodeStatus> {
    Json(port.node())
}

pub(crate) async fn cluster<P: AdminPort>(State(port): State<P>) -> Answer<Json<ClusterStatus>> {
    Ok(Json(port.cluster().await?))
}

pub(crate) async fn form<P: AdminPort>(State(port): State<P>, Json(formation): Json<Formation>) -> Answer<StatusCode> {
    port.form(formation).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn safe_to_stop<P: AdminPort>(State(port): State<P>) -> Answer<Json<Safety>> {
    Ok(Json(port.safe_to_stop().await?))
}

pub(crate) async fn hand_over<P: AdminPort>(State(port): State<P>) -> Answer<StatusCode> {
    port.hand_over().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn drain<P: AdminPort>(State(port): State<P>, Json(draining): Json<Draining>) -> Answer<StatusCode> {
    port.drain(draining).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn remove_node<P: AdminPort>(
    State(port): State<P>,
    Json(removal): Json<NodeRemoval>,
) -> Answer<StatusCode> {
    port.remove_node(removal).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn back_up<P: AdminPort>(
    State(port): State<P>,
    Json(request): Json<BackupRequest>,
) -> Answer<Json<BackupView>> {
    Ok(Json(port.back_up(request).await?))
}

pub(crate) async fn remove_backup<P: AdminPort>(
    State(port): State<P>,
    Json(removal): Json<BackupRemoval>,
) -> Answer<StatusCode> {
    port.remove_backup(removal).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn declare_topic<P: AdminPort>(
    State(port): State<P>,
    Json(topic): Json<TopicDeclaration>,
) -> Answer<Json<TopicView>> {
    Ok(Json(port.declare_topic(topic).await?))
}

pub(crate) async fn topics<P: AdminPort>(State(port): State<P>) -> Answer<Json<TopicList>> {
    Ok(Json(port.topics().await?))
}

pub(crate) async fn topics_after<P: AdminPort>(
    State(port): State<P>,
    Json(after): Json<TopicsAfter>,
) -> Answer<Json<TopicList>> {
    Ok(Json(port.topics_after(after).await?))
}

pub(crate) async fn remove_topic<P: AdminPort>(
    State(port): State<P>,
    Json(removal): Json<TopicRemoval>,
) -> Answer<StatusCode> {
    port.remove_topic(removal).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn declare_user<P: AdminPort>(
    State(port): State<P>,
    Json(user): Json<UserDeclaration>,
) -> Answer<Json<UserView>> {
    Ok(Json(port.declare_user(user).await?))
}

pub(crate) async fn users<P: AdminPort>(State(port): State<P>) -> Answer<Json<Vec<UserView>>> {
    Ok(Json(port.users().await?))
}

pub(crate) async fn remove_user<P: AdminPort>(
    State(port): State<P>,
    Json(removal): Json<UserRemoval>,
) -> Answer<StatusCode> {
    port.remove_user(removal).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn put_user<P: AdminPort>(State(port): State<P>, Json(user): Json<NewUser>) -> Answer<StatusCode> {
    port.put_user(user).await?;
    Ok(StatusCode::NO_CONTENT)
}
