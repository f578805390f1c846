//! Where a chart does not do with values what its tests say.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::chart::Chart;
use super::helm::Answer;

/// What the first line of values begins with that are refused; what follows is a part of what is then said.
const REFUSED: &str = "# refused: ";

/// Everything that is wrong, with the file that says what would be right.
///
/// # Errors
///
/// Where a file cannot be read, or `template` fails.
pub(super) fn of(chart: &Chart, template: impl Fn(&Path) -> anyhow::Result<Answer>) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let all_values = chart.values()?;
    if all_values.is_empty() {
        found.push(format!("{}: it has no tests/values, so nobody knows what it makes", chart.folder.display()));
    }
    for values in all_values {
        match template(&values)? {
            Answer::Rendered(rendered) => {
                let file = chart.expected_of(&values)?;
                let expected = file.is_file().then(|| read(&file)).transpose()?;
                let problem = difference(expected.as_deref(), &rendered);
                found.extend(problem.map(|problem| format!("{}{problem}", file.display())));
            }
            Answer::Refused(said) => found.push(format!("{} is refused: {said}", values.display())),
        }
    }
    for orphan in chart.orphans()? {
        found.push(format!("{}: there are no values of this name; `cargo xtask fix` removes it", orphan.display()));
    }
    for values in chart.refused()? {
        let text = read(&values)?;
        let problem = match (sentence(&text), template(&values)?) {
            (None, _) => Some(format!("the first line is not `{REFUSED}` and what helm says")),
            (Some(_), Answer::Rendered(_)) => Some("it is not refused".to_owned()),
            (Some(sentence), Answer::Refused(said)) if said.contains(sentence) => None,
            (Some(sentence), Answer::Refused(said)) => Some(format!("refused, but not with `{sentence}`: {said}")),
        };
        found.extend(problem.map(|problem| format!("{}: {problem}", values.display())));
    }
    Ok(found)
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// What must be said of values that are refused.
fn sentence(values: &str) -> Option<&str> {
    values.lines().next()?.strip_prefix(REFUSED).map(str::trim).filter(|sentence| !sentence.is_empty())
}

/// The first line that is another one, and what to do.
fn difference(expected: Option<&str>, rendered: &str) -> Option<String> {
    const FIX: &str = "`cargo xtask fix` writes it anew, where that is what it should be";
    let Some(expected) = expected else {
        return Some(format!(": it is missing; {FIX}"));
    };
    if expected == rendered {
        return None;
    }
    let (mut before, mut now) = (expected.lines(), rendered.lines());
    for line in 1.. {
        match (before.next(), now.next()) {
            (None, None) => break,
            (expected, rendered) if expected == rendered => {}
            (expected, rendered) => {
                let [expected, rendered] =
                    [expected, rendered].map(|line| line.map_or("nothing".to_owned(), |line| format!("`{line}`")));
                return Some(format!(":{line}: expected {expected}, the chart makes {rendered}; {FIX}"));
            }
        }
    }
    Some(format!(": the lines end otherwise; {FIX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chart with these files in its tests.
    fn chart(files: &[(&str, &str)]) -> (tempfile::TempDir, Chart) {
        let root = tempfile::tempdir().unwrap();
        let chart = Chart { folder: root.path().join("charts/shop") };
        for (path, content) in files {
            let path = chart.folder.join("tests").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        (root, chart)
    }

    /// A helm that renders its values, and refuses those that ask for it.
    fn echo(values: &Path) -> anyhow::Result<Answer> {
        let text = read(values)?;
        Ok(if text.contains("bad: true") {
            Answer::Refused("Error: bad must not be true".to_owned())
        } else {
            Answer::Rendered(text)
        })
    }

    /// What is wrong, without the folder that it is in.
    fn wrong(files: &[(&str, &str)]) -> Vec<String> {
        let (_root, chart) = chart(files);
        let folder = format!("{}/tests/", chart.folder.display());
        of(&chart, echo).unwrap().into_iter().map(|problem| problem.replace(&folder, "")).collect()
    }

    #[test]
    fn a_chart_that_does_what_its_tests_say_has_no_problem() {
        let files = [
            ("values/a.yaml", "a: 1\n"),
            ("expected/a.yaml", "a: 1\n"),
            ("refused/b.yaml", "# refused: bad must not be true\nbad: true\n"),
        ];
        assert_eq!(wrong(&files), Vec::<String>::new());
    }

    #[test]
    fn what_is_made_otherwise_is_told_by_its_first_line() {
        let told = wrong(&[("values/a.yaml", "a: 1\nb: 2\n"), ("expected/a.yaml", "a: 1\nb: 3\nc: 4\n")]);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("expected/a.yaml:2: expected `b: 3`, the chart makes `b: 2`;"), "{told:?}");

        let told = wrong(&[("values/a.yaml", "a: 1\n"), ("expected/a.yaml", "a: 1\nb: 2\n")]);
        assert!(told[0].starts_with("expected/a.yaml:2: expected `b: 2`, the chart makes nothing;"), "{told:?}");

        let told = wrong(&[("values/a.yaml", "a: 1\n"), ("expected/a.yaml", "a: 1")]);
        assert!(told[0].starts_with("expected/a.yaml: the lines end otherwise;"), "{told:?}");
    }

    #[test]
    fn what_is_expected_and_what_is_made_have_the_same_names() {
        let told = wrong(&[("values/a.yaml", "a: 1\n"), ("expected/b.yaml", "a: 1\n")]);
        assert!(told[0].starts_with("expected/a.yaml: it is missing;"), "{told:?}");
        assert!(told[1].starts_with("expected/b.yaml: there are no values of this name;"), "{told:?}");
    }

    #[test]
    fn values_are_refused_for_the_reason_that_they_are_written_for() {
        let good = [("values/a.yaml", "a: 1\n"), ("expected/a.yaml", "a: 1\n")];
        let refused = |text: &'static str| {
            let told = wrong(&[good[0], good[1], ("refused/b.yaml", text)]);
            assert_eq!(told.len(), 1, "{told:?}");
            told.into_iter().next().unwrap()
        };
        assert_eq!(refused("# refused: it is bad\nbad: false\n"), "refused/b.yaml: it is not refused");
        let told = refused("# refused: it has no name\nbad: true\n");
        assert_eq!(told, "refused/b.yaml: refused, but not with `it has no name`: Error: bad must not be true");
        // Any refusal would do.
        assert!(refused("# refused: \nbad: true\n").contains("the first line is not"));
        assert!(refused("bad: true\n").contains("the first line is not"));
    }

    #[test]
    fn values_that_should_be_taken_and_are_not_are_told_with_the_reason() {
        let told = wrong(&[("values/a.yaml", "bad: true\n")]);
        assert_eq!(told, ["values/a.yaml is refused: Error: bad must not be true"]);
    }

    #[test]
    fn a_chart_without_tests_is_told() {
        let told = wrong(&[("refused/b.yaml", "# refused: bad must not be true\nbad: true\n")]);
        assert!(told[0].contains("it has no tests/values"), "{told:?}");
    }
}
