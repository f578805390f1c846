//! A broker in memory: one node, nothing on disk, for the tests of what calls [`ferrymq_core::Broker`].
//!
//! It does what the port says, at once, unless a test holds it back: [`FakeBroker::hold_publishes`],
//! [`FakeBroker::hold_subscriptions`], [`FakeBroker::hold_confirms`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferrymq_core::{
    Broker, Confirmation, Event, EventSender, Identity, Kind, Login, LoginRefused, QueueName, Refusal, VirtualHostName,
};
use tokio::sync::watch;

use crate::{broker_session::FakeSession, broker_state::State};

/// The broker. Its clones are the same broker.
#[derive(Clone)]
pub struct FakeBroker {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    users: Mutex<HashMap<String, String>>,
    state: Mutex<State>,
    /// Publishes wait while it is true.
    pub(crate) publishes_held: watch::Sender<bool>,
    /// Subscriptions, though made, do not return while it is true.
    pub(crate) subscriptions_held: watch::Sender<bool>,
    /// How many publishes wait.
    pub(crate) publishes_waiting: watch::Sender<usize>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeBroker {
    /// With the user `guest` of password `guest`, the virtual host `/`, and the exchanges that every broker has.
    #[must_use]
    pub fn new() -> Self {
        let users = HashMap::from([("guest".to_owned(), "guest".to_owned())]);
        Self {
            shared: Arc::new(Shared {
                users: Mutex::new(users),
                state: Mutex::new(State::new()),
                publishes_held: watch::Sender::new(false),
                subscriptions_held: watch::Sender::new(false),
                publishes_waiting: watch::Sender::new(0),
            }),
        }
    }

    /// From now on every publish waits, as under an alarm.
    pub fn hold_publishes(&self) {
        self.shared.publishes_held.send_replace(true);
    }

    /// Lets publishes go on.
    pub fn release_publishes(&self) {
        self.shared.publishes_held.send_replace(false);
    }

    /// From now on a subscription is made, but its caller is kept waiting: its deliveries come first.
    pub fn hold_subscriptions(&self) {
        self.shared.subscriptions_held.send_replace(true);
    }

    /// Lets subscriptions return.
    pub fn release_subscriptions(&self) {
        self.shared.subscriptions_held.send_replace(false);
    }

    /// Waits until so many publishes wait.
    pub async fn publishes_are_waiting(&self, count: usize) {
        let mut waiting = self.shared.publishes_waiting.subscribe();
        // The sender lives as long as this.
        let _ = waiting.wait_for(|waiting| *waiting == count).await;
    }

    /// From now on confirms are kept back.
    pub fn hold_confirms(&self) {
        self.shared.state().held_confirms.get_or_insert_default();
    }

    /// Sends those confirms that were kept back and that `pick` takes by their places among them, in one event a
    /// channel; the others stay.
    pub fn release_confirms(&self, mut pick: impl FnMut(usize) -> Option<Confirmation>) {
        self.shared.state().release_confirms(&mut pick);
    }

    /// How many confirms are kept back.
    #[must_use]
    pub fn confirms_held(&self) -> usize {
        self.shared.state().held_confirms.as_ref().map_or(0, Vec::len)
    }

    /// Holds publishes, and tells every session why.
    pub fn block(&self, reason: &str) {
        self.hold_publishes();
        self.tell_all(|| Event::Blocked(reason.to_owned()));
    }

    /// Publishing goes on, which every session is told.
    pub fn unblock(&self) {
        self.release_publishes();
        self.tell_all(|| Event::Unblocked);
    }

    /// Tells every session to let its client go.
    pub fn close_all(&self, reason: &str) {
        self.tell_all(|| Event::Closing(reason.to_owned()));
    }

    fn tell_all(&self, event: impl Fn() -> Event) {
        for session in self.shared.state().sessions.values() {
            // A session that ends just now needs no events.
            let _ = session.send(event());
        }
    }

    /// Makes every publish to this queue be rejected, as where its mirrors are gone.
    pub fn reject_at(&self, queue: &QueueName) {
        self.shared.state().rejecting.insert(queue.clone());
    }

    /// Messages ready, and messages handed out and unsettled; none where there is no such queue.
    #[must_use]
    pub fn depth(&self, queue: &str) -> Option<(usize, usize)> {
        let state = self.shared.state();
        let (_, queue) = state.queues.iter().find(|(name, _)| name.as_str() == queue)?;
        Some((queue.ready.len(), queue.handed_out.len()))
    }

    /// Sessions that are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shared.state().sessions.len()
    }

    /// Waits until this holds of the broker. It is asked again whenever anything changed.
    pub async fn until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let mut changes = self.shared.state().changes.subscribe();
        while !condition(self) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Broker for FakeBroker {
    type Session = FakeSession;

    async fn authenticate(&self, login: Login) -> Result<Identity, LoginRefused> {
        let users = self.shared.users.lock().unwrap_or_else(PoisonError::into_inner);
        let user = login.credentials.user;
        if users.get(&user) == Some(&login.credentials.password) {
            return Ok(Identity { user: user.into() });
        }
        Err(LoginRefused::Credentials { user })
    }

    async fn open(
        &self,
        _: &Identity,
        virtual_host: VirtualHostName,
        events: EventSender,
    ) -> Result<FakeSession, Refusal> {
        if virtual_host != VirtualHostName::root() {
            let name = virtual_host.to_string();
            return Err(Refusal::NotFound { kind: Kind::VirtualHost, virtual_host: name.clone(), name });
        }
        let number = self.shared.state().open(events);
        Ok(FakeSession { shared: Arc::clone(&self.shared), number })
    }
}
