//! The direction of dependencies between the workspace's own crates.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use cargo_metadata::{DependencyKind, Metadata};

use crate::project::Project;

/// What every crate may use. A front end never uses another front end, the broker or the journal; the operator never
/// uses the broker. A crate that is not here yet must be put in its place first.
///
/// Tests may use `testkit` anywhere, and the root package's tests anything: they see the whole.
const MAY_USE: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("pages", &[]),
    ("queue", &["core", "pages", "wire"]),
    ("journal", &[]),
    ("wire", &[]),
    ("base2histogram", &[]),
    ("replication", &["journal", "pages", "wire"]),
    ("broker", &["archive", "core", "pages", "queue", "journal", "replication", "admin-api", "wire"]),
    ("amqp", &["core"]),
    ("tls", &[]),
    ("archive", &["wire"]),
    ("admin-api", &["tls"]),
    ("management", &["core", "admin-api", "tls"]),
    ("api", &[]),
    // The journal only to hand the broker the real disk.
    ("server", &["core", "admin-api", "archive", "broker", "amqp", "journal", "management", "tls", "wire"]),
    ("operator", &["api", "admin-api", "tls"]),
    ("cli", &["api", "admin-api", "archive", "server", "tls"]),
    // A client: of the front end it takes the codec.
    ("bench", &["amqp", "core"]),
    ("testkit", &["core", "journal", "replication", "wire"]),
    ("simulation", &["core", "queue", "journal", "replication", "broker", "testkit"]),
    // Its client, to form the brokers that are measured.
    ("xtask", &["admin-api"]),
    ("ferrymq", &["admin-api", "api", "bench", "cli", "operator", "server", "tls"]),
];

/// What tests and examples may use besides: those of the admin API's client serve a fake by the real server, `ctl` looks
/// at a real journal, and the generator of `xtask` prints what the types make.
const TESTS_MAY_USE: &[(&str, &str)] = &[
    ("cli", "journal"),
    ("cli", "management"),
    ("operator", "management"),
    ("xtask", "api"),
    ("xtask", "operator"),
    ("xtask", "server"),
];

/// # Errors
///
/// Where a crate uses another that it may not, or is missing from the table.
pub(super) fn check(project: &Project) -> anyhow::Result<()> {
    let wrong = wrong_arrows(&project.metadata);
    if !wrong.is_empty() {
        bail!("{}\nthe table is in src/xtask/check/dependencies.rs", wrong.join("\n"));
    }
    Ok(())
}

fn wrong_arrows(metadata: &Metadata) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let packages = metadata.workspace_packages();
    let names: BTreeSet<&str> = packages.iter().map(|package| short(package.name.as_str())).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let user = short(package.name.as_str());
        let Some(allowed) = table.get(user) else {
            wrong.push(format!("{user} has no place in the table of what may use what"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let used = short(&dependency.name);
            let for_tests = dependency.kind == DependencyKind::Development
                && (used == "testkit" || user == "ferrymq" || TESTS_MAY_USE.contains(&(user, used)));
            if names.contains(used) && !allowed.contains(&used) && !for_tests {
                wrong.push(format!("{user} may not use {used}"));
            }
        }
    }
    wrong
}

fn short(name: &str) -> &str {
    name.strip_prefix("ferrymq-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use cargo_metadata::MetadataCommand;

    use super::*;

    fn workspace() -> Metadata {
        MetadataCommand::new().no_deps().exec().expect("the workspace has metadata")
    }

    #[test]
    fn crates_use_only_what_they_may() {
        assert_eq!(wrong_arrows(&workspace()), Vec::<String>::new());
    }

    #[test]
    fn a_front_end_that_uses_the_broker_is_told() {
        let mut metadata = workspace();
        let broker = {
            let server = metadata.packages.iter().find(|package| package.name.as_str() == "ferrymq-server");
            let uses = &server.expect("there is a server").dependencies;
            uses.iter().find(|used| used.name == "ferrymq-broker").expect("the server uses the broker").clone()
        };
        let amqp = metadata.packages.iter_mut().find(|package| package.name.as_str() == "ferrymq-amqp");
        amqp.expect("there is an AMQP front end").dependencies.push(broker);
        assert!(wrong_arrows(&metadata).contains(&"amqp may not use broker".to_owned()));
    }

    #[test]
    fn what_may_be_used_never_leads_back() {
        let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
        for start in table.keys() {
            let mut seen = BTreeSet::new();
            let mut next = table[start].to_vec();
            while let Some(used) = next.pop() {
                assert_ne!(used, *start, "{start} leads back to itself");
                if seen.insert(used) {
                    next.extend_from_slice(table[used]);
                }
            }
        }
    }
}
