//! A step closer to what the file asks for, again and again. May be stopped anywhere and begun anew: what must be known
//! later is recorded before it is done.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use ferrymq_admin_api::{
    AdminError, CallError, Client, ClusterStatus, NodeStatus, Phase, Reason, TopicDeclaration, TopicView,
};
use ferrymq_api::{CheckedTopic, CheckedUser};
use tokio::task::JoinSet;

use super::{
    conditions::{self, Condition},
    formation::{self, Record, Step},
    place::{Place, PlaceError},
    topics::{self, Declared},
    users::Users,
};
use crate::told::told;

/// Forming waits for all members to be on disk.
const FORM_TIMEOUT: Duration = Duration::from_secs(20);

/// What was refused is tried again after this long.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Plays the operator's part for one cluster.
pub(super) struct Reconciler {
    cluster: String,
    place: Place,
    /// The brokers' admin APIs, by ordinal.
    clients: Vec<Client>,
    default_mirrors: u8,
    record: Option<Record>,
    declared: Vec<Declared>,
    wanted: Vec<CheckedTopic>,
    users: Users,
    /// What came of the topics that are wanted, by resource.
    outcomes: BTreeMap<String, Attempt>,
    /// Why topics that are to go are still there, by resource and name.
    going: BTreeMap<(String, String), AdminError>,
}

/// What came of a declaration.
struct Attempt {
    declaration: TopicDeclaration,
    at: Instant,
    outcome: Result<TopicView, AdminError>,
}

/// What was so at the end of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// What each broker says of itself, by ordinal, where it answers.
    pub(super) nodes: Vec<Option<NodeStatus>>,
    pub(super) conditions: Vec<Condition>,
}

impl Reconciler {
    /// For the cluster that was recorded in this place, or will be.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] where a record is there and cannot be read.
    pub(super) fn new(
        cluster: String,
        place: Place,
        clients: Vec<Client>,
        default_mirrors: u8,
    ) -> Result<Self, PlaceError> {
        Ok(Self {
            record: place.read(Record::FILE)?,
            declared: place.read(topics::FILE)?.unwrap_or_default(),
            users: Users::new(&place)?,
            cluster,
            place,
            clients,
            default_mirrors,
            wanted: Vec::new(),
            outcomes: BTreeMap::new(),
            going: BTreeMap::new(),
        })
    }

    /// From now on these topics and users are wanted, and those that were wanted before are not.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] where that cannot be recorded; then nothing has changed.
    pub(super) fn want(&mut self, wanted: Vec<CheckedTopic>, users: Vec<CheckedUser>) -> Result<(), PlaceError> {
        self.users.want(&self.place, users)?;
        let declared = topics::recorded(&self.declared, &wanted);
        if declared != self.declared {
            self.place.write(topics::FILE, &declared)?;
        }
        self.declared = declared;
        self.outcomes.retain(|resource, _| wanted.iter().any(|topic| topic.full_name() == *resource));
        self.going.clear();
        self.wanted = wanted;
        Ok(())
    }

    /// Does what is to be done next, and says how it is then.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] where something that had to be recorded first could not be.
    pub(super) async fn pass(&mut self) -> Result<Seen, PlaceError> {
        let nodes = self.nodes().await;
        let (step, refused) = self.form(&nodes).await?;
        let serving = nodes
            .iter()
            .zip(&self.clients)
            .find(|(node, _)| node.as_ref().is_some_and(|node| node.phase == Phase::Serving))
            .map(|(_, client)| client.clone());
        let (mut status, mut unreachable) = (None, None);
        if let (Step::Formed, Some(client)) = (&step, serving) {
            match self.users.pass(&self.place, &client).await? {
                Ok(()) => match self.topics(&client).await? {
                    Ok(seen) => status = Some(seen),
                    Err(error) => unreachable = Some(told(&error)),
                },
                Err(error) => unreachable = Some(told(&error)),
            }
        }
        let cluster = conditions::Cluster {
            name: &self.cluster,
            step: &step,
            nodes: &nodes,
            status: status.as_ref(),
            refused: refused.as_deref(),
        };
        let mut conditions = cluster.conditions();
        for topic in &self.wanted {
            let resource = topic.full_name();
            // What came of it once says nothing any more where the cluster does not answer.
            let outcome = self.outcomes.get(&resource).filter(|_| status.is_some()).map(|attempt| &attempt.outcome);
            conditions.push(conditions::of_topic(&resource, outcome, unreachable.as_deref()));
        }
        for ((resource, _), refused) in &self.going {
            conditions.push(conditions::of_going_topic(resource, refused));
        }
        conditions.extend(self.users.conditions(status.is_some(), unreachable.as_deref()));
        Ok(Seen { nodes, conditions })
    }

    async fn nodes(&self) -> Vec<Option<NodeStatus>> {
        let mut asked = JoinSet::new();
        for (place, client) in self.clients.iter().cloned().enumerate() {
            asked.spawn(async move { (place, client.node().await.ok()) });
        }
        let mut nodes = vec![None; self.clients.len()];
        while let Some(answer) = asked.join_next().await {
            if let Ok((place, answer)) = answer
                && let Some(node) = nodes.get_mut(place)
            {
                *node = answer;
            }
        }
        nodes
    }

    /// Goes on with the formation, and gives where it stands, and why it was refused.
    async fn form(&mut self, nodes: &[Option<NodeStatus>]) -> Result<(Step, Option<String>), PlaceError> {
        loop {
            let step = formation::next(self.record.as_ref(), nodes, self.default_mirrors);
            match &step {
                Step::Record(record) => self.write_record(record.clone())?,
                Step::Agreed => self.formed()?,
                Step::Form => {
                    let (Some(client), Some(record)) = (self.clients.first(), &self.record) else {
                        return Ok((step, None));
                    };
                    let client = client.clone().with_timeout(FORM_TIMEOUT);
                    if let Err(error) = client.form(&record.formation()).await {
                        return Ok((step, Some(told(&error))));
                    }
                    self.formed()?;
                    return Ok((Step::Formed, None));
                }
                Step::Formed | Step::Wait | Step::DataLost | Step::Foreign(_) => return Ok((step, None)),
            }
        }
    }

    fn formed(&mut self) -> Result<(), PlaceError> {
        match self.record.clone() {
            Some(record) => self.write_record(Record { formed: true, ..record }),
            None => Ok(()),
        }
    }

    fn write_record(&mut self, record: Record) -> Result<(), PlaceError> {
        self.place.write(Record::FILE, &record)?;
        self.record = Some(record);
        Ok(())
    }

    /// Takes away and declares what is to be, and gives how the cluster is.
    async fn topics(&mut self, client: &Client) -> Result<Result<ClusterStatus, CallError>, PlaceError> {
        let views = match client.topics().await {
            Ok(list) => list.topics,
            Err(error) => return Ok(Err(error)),
        };
        // First those that go: one that comes may have their name.
        self.remove(client).await?;
        for topic in &self.wanted {
            let declaration = topics::declaration(topic);
            let resource = topic.full_name();
            let view = views.iter().find(|view| view.declaration == declaration);
            if let Some(view) = view.filter(|view| view.in_sync) {
                let attempt = Attempt { declaration, at: Instant::now(), outcome: Ok(view.clone()) };
                self.outcomes.insert(resource, attempt);
                continue;
            }
            let tried = self.outcomes.get(&resource).filter(|attempt| attempt.declaration == declaration);
            if tried.is_some_and(|attempt| attempt.at.elapsed() < TRY_AGAIN) {
                continue;
            }
            let outcome = client.declare_topic(&declaration).await.map_err(refusal);
            self.outcomes.insert(resource, Attempt { declaration, at: Instant::now(), outcome });
        }
        Ok(client.cluster().await)
    }

    async fn remove(&mut self, client: &Client) -> Result<(), PlaceError> {
        let wanted: Vec<_> = self.wanted.iter().map(Declared::of).collect();
        for gone in topics::gone(&self.declared, &wanted) {
            let key = (gone.resource.clone(), gone.name.clone());
            match client.remove_topic(&gone.removal()).await {
                Ok(()) => {
                    self.going.remove(&key);
                    self.declared.retain(|declared| !declared.is_same_topic(&gone));
                    self.place.write(topics::FILE, &self.declared)?;
                }
                Err(error) => {
                    self.going.insert(key, refusal(error));
                }
            }
        }
        Ok(())
    }
}

/// Why a call was refused, or could not be made.
pub(super) fn refusal(error: CallError) -> AdminError {
    match error {
        CallError::Refused(refused) => refused,
        other => AdminError::new(Reason::Unavailable, told(&other)),
    }
}
