//! The text of OpenMetrics, read. Strict, so that what is written is held to it: every sample belongs to the family above it,
//! and every family has a type and a help.

use std::collections::BTreeSet;

/// A metric with all of its series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    /// `counter`, `gauge` or `histogram`.
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) unit: Option<String>,
    /// The labels of its series, but for the bounds of a histogram.
    pub(crate) labels: Vec<String>,
    /// The names of its samples.
    pub(crate) samples: BTreeSet<String>,
}

/// The families of a page.
pub(crate) fn read(text: &str) -> Result<Vec<Family>, String> {
    let mut families: Vec<Family> = Vec::new();
    let mut lines = text.lines();
    for line in &mut lines {
        if line == "# EOF" {
            break;
        }
        read_line(line, &mut families).map_err(|problem| format!("`{line}`: {problem}"))?;
    }
    match lines.next() {
        None if text.ends_with("# EOF\n") => {}
        _ => return Err("it does not end with `# EOF`".to_owned()),
    }
    let incomplete = |family: &&Family| family.kind.is_empty() || family.help.is_empty() || family.samples.is_empty();
    match families.iter().find(incomplete) {
        Some(family) => Err(format!("{} has no type, no help or no sample", family.name)),
        None => Ok(families),
    }
}

fn read_line(line: &str, families: &mut Vec<Family>) -> Result<(), String> {
    let Some(comment) = line.strip_prefix("# ") else { return read_sample(line, families) };
    let mut words = comment.splitn(3, ' ');
    let (Some(keyword), Some(name), Some(rest)) = (words.next(), words.next(), words.next()) else {
        return Err("no comment has fewer than three words".to_owned());
    };
    if families.last().is_none_or(|family| family.name != name) {
        if families.iter().any(|family| family.name == name) {
            return Err("the metric is described twice".to_owned());
        }
        families.push(Family { name: name.to_owned(), ..Family::default() });
    }
    let Some(family) = families.last_mut() else { return Ok(()) };
    match keyword {
        "HELP" => family.help = rest.to_owned(),
        "TYPE" => family.kind = rest.to_owned(),
        "UNIT" if name.ends_with(&format!("_{rest}")) => family.unit = Some(rest.to_owned()),
        "UNIT" => return Err("the name does not end with the unit".to_owned()),
        _ => return Err("no such comment is known".to_owned()),
    }
    Ok(())
}

fn read_sample(line: &str, families: &mut [Family]) -> Result<(), String> {
    let (series, value) = line.rsplit_once(' ').ok_or("there is no value")?;
    value.parse::<f64>().map_err(|error| format!("the value is none: {error}"))?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').ok_or("its labels do not end")?),
        None => (series, ""),
    };
    let family = families.last_mut().ok_or("it has no description")?;
    let suffix = name.strip_prefix(family.name.as_str()).ok_or("it belongs to another metric")?;
    let right = match family.kind.as_str() {
        "counter" => suffix == "_total",
        "histogram" => matches!(suffix, "_sum" | "_count" | "_bucket"),
        _ => suffix.is_empty(),
    };
    if !right {
        return Err(format!("a {} has no sample of that name", family.kind));
    }
    family.samples.insert(name.to_owned());
    for label in labels.split(',').filter_map(|label| label.split_once("=\"")).map(|(label, _)| label) {
        if label != "le" && !family.labels.iter().any(|known| known == label) {
            family.labels.push(label.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_it_is_meant() {
        let page = "# HELP a_seconds How long\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\na_seconds_sum 1.5\n\
                    a_seconds_count 1\na_seconds_bucket{kind=\"x\",le=\"+Inf\"} 1\n# HELP b How many\n# TYPE b counter\n\
                    b_total 3\n# EOF\n";
        let [a, b] = read(page).unwrap().try_into().unwrap();
        assert_eq!(
            (a.kind.as_str(), a.unit.as_deref(), a.labels),
            ("histogram", Some("seconds"), vec!["kind".to_owned()])
        );
        assert_eq!(b.samples, BTreeSet::from(["b_total".to_owned()]));
    }

    #[test]
    fn what_no_reader_would_take_is_told() {
        for wrong in [
            "a 1\n# EOF\n",
            "# HELP a A\n# TYPE a counter\na 1\n# EOF\n",
            "# HELP a A\n# TYPE a gauge\na x\n# EOF\n",
            "# HELP a A\n# TYPE a gauge\na 1\n",
            "# TYPE a gauge\na 1\n# EOF\n",
            "# HELP a A\n# TYPE a gauge\n# UNIT a bytes\na 1\n# EOF\n",
            "# HELP a A\n# TYPE a gauge\na 1\n# HELP b B\n# TYPE b gauge\nb 1\n# HELP a A\n# EOF\n",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
