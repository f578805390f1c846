//! Where each call is served. All but the probes want `Authorization: Bearer <token>`.
//!
//! Every answer that is a success and has something to say is JSON with status 200; one that has nothing to say is 204.
//! Every other answer is an [`AdminError`](crate::AdminError) as JSON, with the status that
//! [`Reason::http_status`](crate::Reason::http_status) names.

/// `GET`, no token: the process runs. 200 with `ok`.
pub const LIVEZ: &str = "/livez";

/// `GET`, no token: the node serves clients. 200 with `ok`, or 503 with a sentence that says why not.
pub const READYZ: &str = "/readyz";

/// `GET`: [`NodeStatus`](crate::NodeStatus).
pub const NODE: &str = "/admin/v1/node";

/// `GET`: [`ClusterStatus`](crate::ClusterStatus).
pub const CLUSTER: &str = "/admin/v1/cluster";

/// `POST` a [`Formation`](crate::Formation): 204.
pub const FORM: &str = "/admin/v1/form";

/// `GET`: [`Safety`](crate::Safety).
pub const SAFE_TO_STOP: &str = "/admin/v1/safe-to-stop";

/// `POST`, without a body: 204, after at most 20 seconds.
pub const HAND_OVER: &str = "/admin/v1/hand-over";

/// `PUT` a [`Draining`](crate::Draining): 204, as soon as it is decided.
pub const DRAINING: &str = "/admin/v1/draining";

/// `DELETE` with a [`NodeRemoval`](crate::NodeRemoval) as its body: 204.
pub const NODES: &str = "/admin/v1/nodes";

/// `POST` a [`BackupRequest`](crate::BackupRequest): [`BackupView`](crate::BackupView), as soon as it is begun. `DELETE` with a
/// [`BackupRemoval`](crate::BackupRemoval) as its body: 204.
pub const BACKUP: &str = "/admin/v1/backup";

/// `PUT` a [`TopicDeclaration`](crate::TopicDeclaration): [`TopicView`](crate::TopicView). `DELETE` with a
/// [`TopicRemoval`](crate::TopicRemoval) as its body: 204.
pub const TOPIC: &str = "/admin/v1/topic";

/// `GET`: [`TopicList`](crate::TopicList).
pub const TOPICS: &str = "/admin/v1/topics";

/// `POST` a [`TopicsAfter`](crate::TopicsAfter): a part of a [`TopicList`](crate::TopicList), as soon as there is another
/// version, and after at most five seconds.
pub const TOPICS_AFTER: &str = "/admin/v1/topics/after";

/// `PUT` a [`UserDeclaration`](crate::UserDeclaration): [`UserView`](crate::UserView). `DELETE` with a
/// [`UserRemoval`](crate::UserRemoval) as its body: 204.
pub const USER: &str = "/admin/v1/user";

/// `GET`: a list of [`UserView`](crate::UserView). `PUT` a [`NewUser`](crate::NewUser): 204.
pub const USERS: &str = "/admin/v1/users";
