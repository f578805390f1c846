//! What `management` serves by HTTP, and a node answers.

use std::future::Future;

use crate::{
    AdminError, BackupRemoval, BackupRequest, BackupView, ClusterStatus, Draining, Formation, NewUser, NodeRemoval,
    NodeStatus, Safety, TopicDeclaration, TopicList, TopicRemoval, TopicView, TopicsAfter, UserDeclaration,
    UserRemoval, UserView,
};

/// A node, as the admin API sees it. Cheap to clone. Every call is bounded in time.
pub trait AdminPort: Clone + Send + Sync + 'static {
    /// What this node says of itself. Never refused.
    fn node(&self) -> NodeStatus;

    /// Whether it serves clients (`GET /readyz`).
    fn ready(&self) -> bool;

    /// What its cluster looks like from here.
    fn cluster(&self) -> impl Future<Output = Result<ClusterStatus, AdminError>> + Send;

    /// Forms the cluster.
    fn form(&self, formation: Formation) -> impl Future<Output = Result<(), AdminError>> + Send;

    /// Whether this node may stop now.
    fn safe_to_stop(&self) -> impl Future<Output = Result<Safety, AdminError>> + Send;

    /// Gives all that this node leads to others, and leads nothing more until it is started again; returns when done, or
    /// after 20 seconds.
    fn hand_over(&self) -> impl Future<Output = Result<(), AdminError>> + Send;

    /// Empties a node, or lets it have its share again; returns when that is decided.
    fn drain(&self, draining: Draining) -> impl Future<Output = Result<(), AdminError>> + Send;

    /// Takes a node that was emptied out of the cluster; success where it is not there.
    fn remove_node(&self, removal: NodeRemoval) -> impl Future<Output = Result<(), AdminError>> + Send;

    /// Makes a backup, or says how far it is.
    fn back_up(&self, request: BackupRequest) -> impl Future<Output = Result<BackupView, AdminError>> + Send;

    /// Removes a backup, and what no other needs; success where it is not there.
    fn remove_backup(&self, removal: BackupRemoval) -> impl Future<Output = Result<(), AdminError>> + Send;

    /// Declares a topic.
    fn declare_topic(&self, topic: TopicDeclaration) -> impl Future<Output = Result<TopicView, AdminError>> + Send;

    /// All topics.
    fn topics(&self) -> impl Future<Output = Result<TopicList, AdminError>> + Send;

    /// A part of the topics, as soon as all of them are of another version; after five seconds at most.
    fn topics_after(&self, after: TopicsAfter) -> impl Future<Output = Result<TopicList, AdminError>> + Send;

    /// Removes a topic; success where it is not there.
    fn remove_topic(&self, removal: TopicRemoval) -> impl Future<Output = Result<(), AdminError>> + Send;

    /// Declares a user.
    fn declare_user(&self, user: UserDeclaration) -> impl Future<Output = Result<UserView, AdminError>> + Send;

    /// All users.
    fn users(&self) -> impl Future<Output = Result<Vec<UserView>, AdminError>> + Send;

    /// Removes a user; success where it is not there.
    fn remove_user(&self, removal: UserRemoval) -> impl Future<Output = Result<(), AdminError>> + Send;

    /// Makes a user that may do everything, or gives it a new password.
    fn put_user(&self, user: NewUser) -> impl Future<Output = Result<(), AdminError>> + Send;
}
