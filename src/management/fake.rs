//! A node that answers what a test tells it to, and remembers what it was asked.

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard},
};

use ferrymq_admin_api::{
    AdminError, AdminPort, BackupRemoval, BackupRequest, BackupState, BackupView, ClusterStatus, Draining, Formation,
    NewUser, NodeRemoval, NodeStatus, Phase, Reason, Safety, TopicDeclaration, TopicList, TopicRemoval, TopicView,
    TopicsAfter, UserDeclaration, UserDeclared, UserRemoval, UserView,
};

#[derive(Clone, Default)]
pub(crate) struct FakeNode(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    serving: bool,
    stuck: bool,
    handed_over: bool,
    draining: Option<u32>,
    topics: Vec<TopicDeclaration>,
    users: Vec<String>,
    declared: Vec<UserView>,
}

impl FakeNode {
    pub(crate) fn serving() -> Self {
        let node = Self::default();
        node.state().serving = true;
        node
    }

    /// From now on nothing that it is asked for comes to an end.
    pub(crate) fn get_stuck(&self) {
        self.state().stuck = true;
    }

    pub(crate) fn handed_over(&self) -> bool {
        self.state().handed_over
    }

    pub(crate) fn users(&self) -> Vec<String> {
        self.state().users.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn formed(&self) -> Result<(), AdminError> {
        let stuck = self.state().stuck;
        if stuck {
            pending::<()>().await;
        }
        if self.state().serving {
            Ok(())
        } else {
            Err(AdminError::new(Reason::NotFormed, "orders-0 belongs to no cluster yet"))
        }
    }
}

impl AdminPort for FakeNode {
    fn node(&self) -> NodeStatus {
        let serving = self.state().serving;
        NodeStatus {
            ordinal: 0,
            uuid: "u-0".to_owned(),
            phase: if serving { Phase::Serving } else { Phase::Unformed },
            message: if serving { "serves clients" } else { "waits to be told to form a cluster" }.to_owned(),
            cluster_id: serving.then(|| "c".to_owned()),
            node_id: serving.then_some(1),
            version: "0.1.0".to_owned(),
            disk: None,
            certificates: Vec::new(),
            archive: None,
            restoration: None,
        }
    }

    fn ready(&self) -> bool {
        self.state().serving
    }

    async fn cluster(&self) -> Result<ClusterStatus, AdminError> {
        self.formed().await?;
        Ok(ClusterStatus {
            cluster_id: "c".to_owned(),
            catalogue_leader: Some(1),
            nodes: Vec::new(),
            shards: Vec::new(),
            messages: 7,
            queues: 1,
        })
    }

    async fn form(&self, formation: Formation) -> Result<(), AdminError> {
        let mut state = self.state();
        state.serving = true;
        state.users = formation.users.into_iter().map(|user| user.name).collect();
        Ok(())
    }

    async fn safe_to_stop(&self) -> Result<Safety, AdminError> {
        self.formed().await?;
        Ok(Safety { safe: false, reason: "shard 3 would lose its majority".to_owned() })
    }

    async fn hand_over(&self) -> Result<(), AdminError> {
        self.formed().await?;
        self.state().handed_over = true;
        Ok(())
    }

    async fn drain(&self, draining: Draining) -> Result<(), AdminError> {
        self.formed().await?;
        self.state().draining = draining.draining.then_some(draining.ordinal);
        Ok(())
    }

    async fn remove_node(&self, removal: NodeRemoval) -> Result<(), AdminError> {
        self.formed().await?;
        if self.state().draining == Some(removal.ordinal) {
            return Ok(());
        }
        Err(AdminError::new(Reason::WouldNotFit, format!("broker {} still holds 9 shards", removal.ordinal)))
    }

    async fn back_up(&self, request: BackupRequest) -> Result<BackupView, AdminError> {
        self.formed().await?;
        Ok(BackupView {
            name: request.name,
            made_for: request.made_for,
            state: BackupState::Running,
            shards_done: 3,
            shards: 13,
            bytes: 4096,
            began_at: 1_700_000_000_000,
            ended_at: None,
            message: "3 of 13 shards are in the archive".to_owned(),
        })
    }

    async fn remove_backup(&self, _: BackupRemoval) -> Result<(), AdminError> {
        self.formed().await
    }

    async fn declare_topic(&self, topic: TopicDeclaration) -> Result<TopicView, AdminError> {
        self.formed().await?;
        self.state().topics.push(topic.clone());
        Ok(view(topic))
    }

    async fn topics(&self) -> Result<TopicList, AdminError> {
        self.formed().await?;
        let topics: Vec<TopicView> = self.state().topics.iter().cloned().map(view).collect();
        Ok(TopicList { version: topics.len().to_string(), topics, more: false })
    }

    async fn topics_after(&self, _: TopicsAfter) -> Result<TopicList, AdminError> {
        self.topics().await
    }

    async fn remove_topic(&self, removal: TopicRemoval) -> Result<(), AdminError> {
        self.formed().await?;
        if removal.only_if_empty {
            return Err(AdminError::new(Reason::NotEmpty, format!("topic {} has 3 messages", removal.name)));
        }
        self.state().topics.retain(|topic| topic.name != removal.name);
        Ok(())
    }

    async fn declare_user(&self, user: UserDeclaration) -> Result<UserView, AdminError> {
        self.formed().await?;
        let UserDeclaration { name, owner, password_version, permissions, .. } = user;
        let view =
            UserView { name, declared: Some(UserDeclared { owner: Some(owner), password_version, permissions }) };
        self.state().declared.push(view.clone());
        Ok(view)
    }

    async fn users(&self) -> Result<Vec<UserView>, AdminError> {
        self.formed().await?;
        Ok(self.state().declared.clone())
    }

    async fn remove_user(&self, removal: UserRemoval) -> Result<(), AdminError> {
        self.formed().await?;
        self.state().declared.retain(|user| user.name != removal.name);
        Ok(())
    }

    async fn put_user(&self, user: NewUser) -> Result<(), AdminError> {
        self.formed().await?;
        self.state().users.push(user.name);
        Ok(())
    }
}

fn view(declaration: TopicDeclaration) -> TopicView {
    TopicView {
        declaration,
        in_sync: true,
        drift: String::new(),
        replicated: true,
        queues: Vec::new(),
        partitions: Vec::new(),
    }
}
