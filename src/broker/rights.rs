//! What users may do, as RabbitMQ has it: by virtual host three regular expressions, for the names of what they may
//! configure (make and delete), write to, and read from. An expression matches anywhere in the name unless it says where; an
//! empty one matches no name.

use std::{collections::HashMap, fmt, sync::OnceLock};

use ferrymq_core::Kind;
use regex::{Regex, RegexBuilder};

use crate::catalogue::PermissionRecord;

/// The most characters of an expression.
const MOST_CHARACTERS: usize = 1024;
/// The most bytes of memory of a compiled expression.
const MOST_BYTES: usize = 256 << 10;
/// What matching may take beside.
const MOST_BYTES_TO_MATCH: usize = 256 << 10;
/// What the default exchange, which has no name, is called in permissions.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// What a user wants to do with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Make it or delete it.
    Configure,
    /// Put messages into it; of a queue: bind it.
    Write,
    /// Take messages from it; of an exchange: have them sent to a queue.
    Read,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        })
    }
}

/// What something is called in permissions.
pub(crate) fn known_as(kind: Kind, name: &str) -> &str {
    if kind == Kind::Exchange && name.is_empty() { DEFAULT_EXCHANGE } else { name }
}

/// Why an expression cannot be one of a permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidPattern {
    #[error("it has {characters} characters; at most {MOST_CHARACTERS} are allowed")]
    TooLong { characters: usize },
    #[error("it takes too much memory; write it with fewer repetitions")]
    TooBig,
    #[error("{0}")]
    Syntax(String),
}

/// Names that an expression matches.
#[derive(Debug)]
pub(crate) enum Pattern {
    Nothing,
    Everything,
    Matching(Regex),
}

impl Pattern {
    /// The names that are meant.
    pub(crate) fn new(expression: &str) -> Result<Self, InvalidPattern> {
        match expression {
            "" => return Ok(Self::Nothing),
            ".*" => return Ok(Self::Everything),
            _ => {}
        }
        let characters = expression.chars().count();
        if characters > MOST_CHARACTERS {
            return Err(InvalidPattern::TooLong { characters });
        }
        let built = RegexBuilder::new(expression).size_limit(MOST_BYTES).dfa_size_limit(MOST_BYTES_TO_MATCH).build();
        built.map(Self::Matching).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => InvalidPattern::TooBig,
            // The last line says what is wrong, those before show where.
            error => InvalidPattern::Syntax(error.to_string().lines().last().unwrap_or_default().trim().to_owned()),
        })
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Matching(regex) => regex.is_match(name),
        }
    }
}

/// What a declared user may do. Its expressions are compiled once, when they are first asked for.
#[derive(Debug)]
pub(crate) struct Rights {
    permissions: Vec<PermissionRecord>,
    compiled: OnceLock<HashMap<String, HostRights>>,
}

/// What a declared user may do on one virtual host.
#[derive(Debug)]
pub(crate) struct HostRights {
    configure: Pattern,
    write: Pattern,
    read: Pattern,
}

impl Rights {
    pub(crate) fn of(permissions: Vec<PermissionRecord>) -> Self {
        Self { permissions, compiled: OnceLock::new() }
    }

    /// What it may do on a virtual host, if it may use that at all.
    pub(crate) fn on(&self, host: &str) -> Option<&HostRights> {
        self.compiled.get_or_init(|| self.compile()).get(host)
    }

    fn compile(&self) -> HashMap<String, HostRights> {
        let permissions = self.permissions.iter();
        permissions.map(|permission| (permission.virtual_host.clone(), HostRights::of(permission))).collect()
    }
}

impl HostRights {
    fn of(permission: &PermissionRecord) -> Self {
        // All were checked when they were declared.
        let pattern = |expression: &str| {
            Pattern::new(expression).unwrap_or_else(|error| {
                tracing::error!(expression, %error, "an expression of a permission cannot be used, and matches nothing");
                Pattern::Nothing
            })
        };
        Self {
            configure: pattern(&permission.configure),
            write: pattern(&permission.write),
            read: pattern(&permission.read),
        }
    }

    pub(crate) fn allow(&self, permission: Permission, kind: Kind, name: &str) -> bool {
        let pattern = match permission {
            Permission::Configure => &self.configure,
            Permission::Write => &self.write,
            Permission::Read => &self.read,
        };
        pattern.matches(known_as(kind, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, name: &str) -> bool {
        Pattern::new(expression).unwrap().matches(name)
    }

    #[test]
    fn an_expression_matches_anywhere_unless_it_says_where() {
        assert!(matches("orders", "all-orders-of-today"));
        assert!(matches("^orders\\.", "orders.eu") && !matches("^orders\\.", "all.orders.eu"));
        assert!(matches("^(a|b)$", "b") && !matches("^(a|b)$", "ab"));
    }

    #[test]
    fn an_empty_expression_matches_nothing_and_a_full_one_everything() {
        assert!(!matches("", "orders") && !matches("", ""));
        assert!(matches(".*", "orders") && matches(".*", ""));
    }

    #[test]
    fn what_is_no_expression_is_refused_with_its_fault() {
        assert!(matches!(Pattern::new("orders("), Err(InvalidPattern::Syntax(why)) if why.contains("unclosed group")));
        assert!(matches!(Pattern::new("^(?!amq)"), Err(InvalidPattern::Syntax(why)) if why.contains("look-around")));
        assert_eq!(Pattern::new("((a{100}){100}){100}").unwrap_err(), InvalidPattern::TooBig);
        let long = "a".repeat(1025);
        assert_eq!(Pattern::new(&long).unwrap_err(), InvalidPattern::TooLong { characters: 1025 });
    }

    #[test]
    fn rights_are_of_a_virtual_host_and_of_an_operation() {
        let rights = Rights::of(vec![PermissionRecord {
            virtual_host: "/".into(),
            configure: String::new(),
            write: "^amq\\.default$".into(),
            read: "^orders\\.".into(),
        }]);
        assert!(rights.on("shop").is_none());
        let host = rights.on("/").unwrap();
        assert!(!host.allow(Permission::Configure, Kind::Queue, "orders.eu"));
        assert!(host.allow(Permission::Read, Kind::Queue, "orders.eu"));
        // The default exchange has a name in permissions; a queue without one has none.
        assert!(host.allow(Permission::Write, Kind::Exchange, ""));
        assert!(!host.allow(Permission::Write, Kind::Queue, ""));
    }
}
