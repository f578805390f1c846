//! The expressions of alerts and dashboard: each is one, and asks only for metrics and labels that there are; and each alert
//! leads to a heading that there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

use crate::Metrics;

const RULES: &str = "charts/ferrymq/files/rules.yaml";
const DASHBOARD: &str = "charts/ferrymq/files/dashboard.json";
const RUNBOOK: &str = "docs/troubleshooting.md";

/// Labels that every series gets where it is read.
const TARGET_LABELS: [&str; 3] = ["namespace", "messagequeue", "pod"];

/// What is wrong, with where it stands.
pub(crate) fn wrong(root: &Path, metrics: &Metrics) -> anyhow::Result<Vec<String>> {
    let read = |file: &str| fs::read_to_string(root.join(file)).with_context(|| format!("reading {file}"));
    let known = known(metrics);
    let rules: Value = serde_saphyr::from_str(&read(RULES)?).with_context(|| format!("reading {RULES}"))?;
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)?).with_context(|| format!("reading {DASHBOARD}"))?;
    let runbook = read(RUNBOOK)?;
    let mut wrong = Vec::new();
    for rule in all_with(&rules, "expr") {
        let alert = rule["alert"].as_str().unwrap_or("an alert without a name");
        let problems = problems(text(rule, "expr"), &known);
        wrong.extend(problems.into_iter().map(|problem| format!("{RULES}: {alert}: {problem}")));
        let link = text(&rule["annotations"], "runbook_url").strip_prefix("RUNBOOK#").unwrap_or_default();
        if !anchors(&runbook).contains(link) {
            wrong.push(format!("{RULES}: {alert}: {RUNBOOK} has no heading or anchor '{link}'"));
        }
        for annotation in ["summary", "description"] {
            if text(&rule["annotations"], annotation).is_empty() {
                wrong.push(format!("{RULES}: {alert}: it has no {annotation}"));
            }
        }
    }
    for target in all_with(&dashboard, "expr") {
        let expression = text(target, "expr");
        let filled = expression.replace("$__rate_interval", "5m");
        wrong.extend(
            problems(&filled, &known).into_iter().map(|problem| format!("{DASHBOARD}: {expression}: {problem}")),
        );
    }
    Ok(wrong)
}

/// The labels of every sample that there is.
fn known(metrics: &Metrics) -> BTreeMap<&str, BTreeSet<&str>> {
    let samples = metrics.all().flat_map(|family| {
        let mut labels: BTreeSet<&str> = family.labels.iter().map(String::as_str).chain(TARGET_LABELS).collect();
        labels.extend((family.kind == "histogram").then_some("le"));
        family.samples.iter().map(move |sample| (sample.as_str(), labels.clone()))
    });
    samples.collect()
}

fn problems(expression: &str, known: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    match parser::parse(expression) {
        Err(problem) => vec![format!("it is no expression: {problem}")],
        Ok(parsed) => {
            let mut selectors = Selectors::default();
            // Never refuses.
            let _ = walk_expr(&mut selectors, &parsed);
            selectors.0.iter().flat_map(|selector| problems_of(selector, known)).collect()
        }
    }
}

fn problems_of(selector: &VectorSelector, known: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let name = selector.name.as_deref().unwrap_or_default();
    let Some(labels) = known.get(name) else { return vec![format!("there is no metric '{name}'")] };
    let asked = selector.matchers.matchers.iter().map(|matcher| matcher.name.as_str());
    asked.filter(|label| !labels.contains(label)).map(|label| format!("{name} has no label '{label}'")).collect()
}

/// What an expression asks for.
#[derive(Default)]
struct Selectors(Vec<VectorSelector>);

impl ExprVisitor for Selectors {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Self::Error> {
        match expression {
            Expr::VectorSelector(selector) => self.0.push(selector.clone()),
            Expr::MatrixSelector(matrix) => self.0.push(matrix.vs.clone()),
            _ => {}
        }
        Ok(true)
    }
}

/// All objects, at any depth, that have a field.
fn all_with<'a>(value: &'a Value, field: &str) -> Vec<&'a Value> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| all_with(item, field)).collect(),
        Value::Object(fields) => {
            let inner = fields.values().flat_map(|item| all_with(item, field));
            fields.contains_key(field).then_some(value).into_iter().chain(inner).collect()
        }
        _ => Vec::new(),
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Where a link into a page may lead: its headings, and the anchors in it.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| {
        let kept = line.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    });
    let named = page.split("<a id=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
    headings.chain(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_in(expression: &str) -> Vec<String> {
        let metrics = Metrics::of_samples().unwrap();
        problems(expression, &known(&metrics))
    }

    #[test]
    fn alerts_and_dashboard_ask_for_what_there_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert_eq!(wrong(&root, &Metrics::of_samples().unwrap()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_misspelt_is_told() {
        assert_eq!(problems_in("sum(rate(ferrymq_messages_published_total{pod=\"a\"}[5m])) > 1"), Vec::<String>::new());
        assert_eq!(problems_in("ferrymq_messages_published > 1"), ["there is no metric 'ferrymq_messages_published'"]);
        assert_eq!(problems_in("rate(ferrymq_serving{pot=\"a\"}[5m])"), ["ferrymq_serving has no label 'pot'"]);
        assert!(problems_in("sum(ferrymq_serving")[0].starts_with("it is no expression"));
    }
}
