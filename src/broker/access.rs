//! What a session's user may do on its virtual host. It is looked up again as soon as any user has changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferrymq_core::{ExchangeName, Kind, QueueName, Refusal, VirtualHostName};

use crate::{
    catalogue::Standing,
    node::Inner,
    rights::{Permission, Rights, known_as},
};

/// Exchanges for which it is remembered that the user may publish to them.
const REMEMBERED: usize = 16;

/// What a session's user may do on its virtual host.
pub(crate) struct Access {
    user: Arc<str>,
    host: VirtualHostName,
    /// The number of the user that the session was opened for, where that was declared: one of the same name that was made
    /// since is another.
    number: Option<u64>,
    known: Mutex<Known>,
}

/// What was looked up last.
struct Known {
    /// The catalogue's version of the users then.
    version: u64,
    allowed: Allowed,
    /// Exchanges that the user may publish to.
    may_write: Vec<ExchangeName>,
}

#[derive(Clone)]
enum Allowed {
    Nothing,
    Everything,
    By(Arc<Rights>),
}

impl Access {
    /// What a user may do, where it may use the virtual host at all.
    pub(crate) fn open(node: &Inner, user: Arc<str>, host: VirtualHostName) -> Result<Self, Refusal> {
        let (version, standing) = node.catalogue(|catalogue| (catalogue.users_version(), catalogue.standing(&user)))?;
        let number = match &standing {
            Standing::Declared { number, .. } => Some(*number),
            _ => None,
        };
        let allowed = allowed(number, standing);
        let may_use = match &allowed {
            Allowed::Nothing => false,
            Allowed::Everything => true,
            Allowed::By(rights) => rights.on(host.as_str()).is_some(),
        };
        if !may_use {
            return Err(Refusal::Forbidden { reason: format!("access to vhost '{host}' refused for user '{user}'") });
        }
        let known = Mutex::new(Known { version, allowed, may_write: Vec::new() });
        Ok(Self { user, host, number, known })
    }

    /// Whether the user is still there.
    pub(crate) fn is_valid(&self, node: &Inner) -> bool {
        node.catalogue(|catalogue| is_same(self.number, &catalogue.standing(&self.user))).unwrap_or(true)
    }

    pub(crate) fn user(&self) -> &Arc<str> {
        &self.user
    }

    pub(crate) fn number(&self) -> Option<u64> {
        self.number
    }

    /// Refuses what the user may not do with a queue.
    pub(crate) fn to_queue(&self, node: &Inner, permission: Permission, name: &QueueName) -> Result<(), Refusal> {
        self.check(node, permission, Kind::Queue, name.as_str())
    }

    /// Refuses what the user may not do with an exchange.
    pub(crate) fn to_exchange(&self, node: &Inner, permission: Permission, name: &ExchangeName) -> Result<(), Refusal> {
        self.check(node, permission, Kind::Exchange, name.as_str())
    }

    /// Refuses a publish that the user may not make. The version is the catalogue's, as it was when the message was routed:
    /// while that stays, an exchange is looked up once.
    pub(crate) fn to_publish(&self, node: &Inner, version: u64, exchange: &ExchangeName) -> Result<(), Refusal> {
        {
            let known = self.known();
            let is_current = known.version == version;
            if is_current && (matches!(known.allowed, Allowed::Everything) || known.may_write.contains(exchange)) {
                return Ok(());
            }
        }
        self.to_exchange(node, Permission::Write, exchange)?;
        let mut known = self.known();
        if known.version == version && !known.may_write.contains(exchange) {
            if known.may_write.len() == REMEMBERED {
                known.may_write.remove(0);
            }
            known.may_write.push(exchange.clone());
        }
        Ok(())
    }

    fn check(&self, node: &Inner, permission: Permission, kind: Kind, name: &str) -> Result<(), Refusal> {
        let allows = match self.current(node)? {
            Allowed::Nothing => false,
            Allowed::Everything => true,
            Allowed::By(rights) => {
                rights.on(self.host.as_str()).is_some_and(|rights| rights.allow(permission, kind, name))
            }
        };
        if allows {
            return Ok(());
        }
        let (user, host, name) = (&self.user, &self.host, known_as(kind, name));
        let reason = format!("{permission} access to {kind} '{name}' in vhost '{host}' refused for user '{user}'");
        Err(Refusal::Forbidden { reason })
    }

    /// What the user may do now.
    fn current(&self, node: &Inner) -> Result<Allowed, Refusal> {
        let before = self.known().version;
        let changed = node.catalogue(|catalogue| {
            let version = catalogue.users_version();
            (version != before).then(|| (version, catalogue.standing(&self.user)))
        })?;
        let mut known = self.known();
        if let Some((version, standing)) = changed {
            *known = Known { version, allowed: allowed(self.number, standing), may_write: Vec::new() };
        }
        Ok(known.allowed.clone())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a user is the one that it was.
pub(crate) fn is_same(number: Option<u64>, standing: &Standing) -> bool {
    match standing {
        Standing::Gone => false,
        Standing::Everything => number.is_none(),
        Standing::Declared { number: current, .. } => number == Some(*current),
    }
}

fn allowed(number: Option<u64>, standing: Standing) -> Allowed {
    if !is_same(number, &standing) {
        return Allowed::Nothing;
    }
    match standing {
        Standing::Gone => Allowed::Nothing,
        Standing::Everything => Allowed::Everything,
        Standing::Declared { rights, .. } => Allowed::By(rights),
    }
}
