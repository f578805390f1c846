//! What of a virtual host FerryMQ keeps elsewhere, or has not: policies, users, permissions.

use serde_json::Value;

use super::{definitions::Definitions, plan::Plan};

/// Says of each what becomes of it.
pub(super) fn leave(definitions: &Definitions, plan: &mut Plan) {
    let hidden = "not seen: only an administrator may (rabbitmqctl set_user_tags USER administrator)";
    match &definitions.policies {
        Some(policies) => {
            for policy in policies {
                let definition = Value::Object(policy.definition.clone());
                let why = format!("FerryMQ has no policies; this one gives '{}' {definition}", policy.pattern);
                plan.leave("policy", &policy.name, why);
            }
        }
        None => plan.leave("policies", "", hidden),
    }
    match (&definitions.users, &definitions.permissions) {
        (Some(users), Some(permissions)) => {
            for permission in permissions {
                let Some(user) = users.iter().find(|user| user.name == permission.user) else { continue };
                let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
                let why = format!(
                    "write a User with `permissions: [{{configure: {}, write: {}, read: {}}}]`; it gets a password of its own",
                    quoted(&permission.configure),
                    quoted(&permission.write),
                    quoted(&permission.read)
                );
                plan.leave("user", &user.name, why);
            }
        }
        _ => plan.leave("users", "", hidden),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_do_what_is_said_as_it_is_written_here() {
        let users = serde_json::from_str(r#"[{"name":"billing","tags":[]}]"#).unwrap();
        let permissions =
            serde_json::from_str(r#"[{"user":"billing","vhost":"/","configure":"","write":"^o'k$","read":".*"}]"#)
                .unwrap();
        let all = Definitions { policies: Some(Vec::new()), users, permissions, ..Definitions::default() };
        let mut plan = Plan::default();
        leave(&all, &mut plan);
        assert!(plan.left[0].why.contains("{configure: '', write: '^o''k$', read: '.*'}"), "{plan:?}");
    }
}
