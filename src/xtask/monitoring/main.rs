//! The page of all metrics, checked or written; and whether alerts and dashboard ask only for metrics that there are.
//!
//! | file | what is in it |
//! |---|---|
//! | `exposition.rs` | the text of OpenMetrics, read: names, types, labels, help |
//! | `page.rs` | the page `docs/metrics.md` |
//! | `expressions.rs` | the expressions of alerts and dashboard |

mod exposition;
mod expressions;
mod page;

use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, anyhow, bail};

use self::exposition::Family;

const PAGE: &str = "docs/metrics.md";

fn main() -> anyhow::Result<()> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let metrics = Metrics::of_samples()?;
    let (file, page) = (root.join(PAGE), page::of(&metrics));
    match env::args().nth(1).as_deref() {
        Some("--check") => {
            if fs::read_to_string(&file).ok().as_deref() != Some(page.as_str()) {
                bail!("{PAGE} is not what the metrics would make; run `cargo xtask fix`");
            }
        }
        Some("--write") => fs::write(&file, page).with_context(|| format!("writing {PAGE}"))?,
        _ => bail!("say --check or --write"),
    }
    let wrong = expressions::wrong(&root, &metrics)?;
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

/// All metrics that there are.
struct Metrics {
    broker: Vec<Family>,
    per_object: Vec<Family>,
    operator: Vec<Family>,
}

impl Metrics {
    /// As the broker and the operator write them.
    fn of_samples() -> anyhow::Result<Self> {
        let [broker, per_object] = ferrymq_server::sample_metrics().map_err(|reason| anyhow!(reason))?;
        let operator = ferrymq_operator::sample_metrics().map_err(|reason| anyhow!(reason))?;
        let read =
            |text: &str| exposition::read(text).map_err(|problem| anyhow!("the metrics cannot be read: {problem}"));
        Ok(Self { broker: read(&broker)?, per_object: read(&per_object)?, operator: read(&operator)? })
    }

    fn all(&self) -> impl Iterator<Item = &Family> {
        self.broker.iter().chain(&self.per_object).chain(&self.operator)
    }
}
