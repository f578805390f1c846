//! `docs/conditions.md`: every type of condition, and every reason.

use crate::{ConditionType, Reason};

const HEAD: &str = "<!-- Generated from src/api by `cargo xtask fix`; do not edit. -->
# Conditions

What the conditions in a status say. `True` is good, but for `Reconciling` and `Stalled`, which are [kstatus](https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md)' and are true while something is to be done. A condition speaks of the spec whose generation is its `observedGeneration`.

```
kubectl get mq orders -o jsonpath='{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{\"\\n\"}{end}'
```

";

/// The page.
pub(crate) fn conditions() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("## Types\n\n| condition | what is true where it is `True` |\n|---|---|\n");
    for kind in ConditionType::ALL {
        text.push_str(&format!(
            "| <a id=\"{}\"></a>`{kind}` | {} |\n",
            kind.as_str().to_lowercase(),
            kind.documentation()
        ));
    }
    text.push_str(
        "\n## Reasons\n\nWhy a condition is what it is. Each leads to what to look at, and what to do.\n\n| reason | what it means |\n|---|---|\n",
    );
    let mut reasons = Reason::ALL.to_vec();
    reasons.sort_by_key(|reason| reason.as_str());
    for reason in reasons {
        let anchor = reason.as_str().to_lowercase();
        text.push_str(&format!("| [`{reason}`](troubleshooting.md#{anchor}) | {} |\n", reason.documentation()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_says_what_to_do_about_it() {
        let page = include_str!("../../../docs/troubleshooting.md");
        for reason in Reason::ALL {
            let anchor = format!("<a id=\"{}\"></a>", reason.as_str().to_lowercase());
            assert!(
                page.contains(&anchor),
                "docs/troubleshooting.md has no {anchor}: say there what {reason} asks for"
            );
        }
    }

    #[test]
    fn every_word_is_on_the_page() {
        let page = conditions();
        assert!(ConditionType::ALL.iter().all(|kind| page.contains(&format!("`{kind}`"))));
        assert!(Reason::ALL.iter().all(|reason| page.contains(&format!("`{reason}`"))));
    }
}
