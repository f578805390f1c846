//! An example of each kind.

/// The example of a kind; none of one that nobody has written one for, which a test rules out.
pub(super) fn of(kind: &str) -> Option<&'static str> {
    match kind {
        "MessageQueue" => Some(include_str!("../examples/messagequeue.yaml")),
        "Topic" => Some(include_str!("../examples/topic.yaml")),
        "User" => Some(include_str!("../examples/user.yaml")),
        "Backup" => Some(include_str!("../examples/backup.yaml")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{crds, parse_resources};

    #[test]
    fn every_kind_has_an_example_and_all_of_them_together_are_admitted() {
        let example = |kind: &str| {
            of(kind).unwrap_or_else(|| panic!("write an example of {kind} into src/api/examples")).to_owned()
        };
        let examples: Vec<String> = crds().iter().map(|crd| example(&crd.spec.names.kind)).collect();
        let read = parse_resources(&examples.join("---\n"), "examples.yaml").unwrap();
        assert_eq!(read.len(), examples.len());
    }

    #[test]
    fn what_the_pages_show_is_admitted() {
        let pages = [
            ("README.md", include_str!("../../../README.md")),
            ("docs/users.md", include_str!("../../../docs/users.md")),
            ("docs/migrating-from-rabbitmq.md", include_str!("../../../docs/migrating-from-rabbitmq.md")),
        ];
        for (page, text) in pages {
            let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
            let ours = |block: &&str| {
                let mut kinds = block.lines().filter(|line| line.starts_with("apiVersion:")).peekable();
                kinds.peek().is_some() && kinds.all(|line| line.contains("ferrymq.io/"))
            };
            let blocks: Vec<&str> = blocks.filter(ours).collect();
            assert!(!blocks.is_empty(), "{page}");
            for block in blocks {
                let cluster = if block.contains("kind: MessageQueue") { "" } else { of("MessageQueue").unwrap() };
                parse_resources(&[cluster, block].join("---\n"), page).unwrap();
            }
        }
    }
}
