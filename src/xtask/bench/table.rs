//! All of a run as Markdown.

use std::fmt::Write as _;

use super::machine::{DiskLimit, Machine};
use super::output;
use super::reading::{Better, shown, times_as_good};
use super::results::{Line, Results};
use super::system::System;

/// The tables of a run, and what they were measured on and how.
pub(super) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, results);
    text
}

fn write(text: &mut String, results: &Results) -> std::fmt::Result {
    let versions: Vec<_> = results.versions.values().map(String::as_str).collect();
    writeln!(text, "Measured on {}: {}.\n", results.machine.date, versions.join("; "))?;
    let rounds = output::rounds(results.rounds);
    writeln!(text, "{} Each load {} s, {rounds}.\n", machine(&results.machine), results.seconds)?;
    disk(text, &results.disk_limits())?;
    let (beside, alone): (Vec<_>, Vec<_>) = results.lines().into_iter().partition(|line| line.compared);
    if !beside.is_empty() {
        comparison(text, results, &beside)?;
    }
    if !alone.is_empty() {
        writeln!(text, "| FerryMQ alone, once | | |\n|---|---|---:|")?;
        for line in &alone {
            let value = line.medians.get(&System::Ferrymq).map_or_else(|| "–".to_owned(), |value| shown(*value));
            writeln!(text, "| {} | {} | {value} {} |", line.case, line.what, line.unit)?;
        }
        writeln!(text)?;
    }
    list(text, "Not measured", &results.failures())?;
    list(text, "What went wrong on the way", &results.troubles())
}

/// What was measured on, as a sentence.
pub(super) fn machine(machine: &Machine) -> String {
    let Machine { processor, cores, memory_bytes, kernel, .. } = machine;
    let gibibytes = *memory_bytes as f64 / (1_u64 << 30) as f64;
    format!(
        "{processor} with {cores} cores, {gibibytes:.0} GiB of memory, Linux {kernel}; all nodes and the load on this one \
         machine and disk."
    )
}

/// The disk's own limits.
pub(super) fn disk(text: &mut String, limits: &[DiskLimit]) -> std::fmt::Result {
    writeln!(text, "| the disk alone, each write synced | writes/s | MB/s |\n|---|---:|---:|")?;
    for limit in limits {
        let (writes, megabytes) = (shown(limit.writes_per_second), shown(limit.megabytes_per_second()));
        writeln!(text, "| {} KiB | {writes} | {megabytes} |", limit.write_bytes >> 10)?;
    }
    writeln!(text)
}

fn comparison(text: &mut String, results: &Results, lines: &[Line]) -> std::fmt::Result {
    let systems: Vec<_> = results.versions.keys().copied().collect();
    let peers: Vec<_> = systems.iter().copied().filter(|system| *system != System::Ferrymq).collect();
    let ratios = if systems.contains(&System::Ferrymq) { peers.as_slice() } else { &[] };
    write!(text, "| case | |")?;
    systems.iter().try_for_each(|system| write!(text, " {} |", system.name()))?;
    ratios.iter().try_for_each(|peer| write!(text, " × {} |", peer.name()))?;
    write!(text, "\n|---|---|")?;
    (0..systems.len() + ratios.len()).try_for_each(|_| write!(text, "---:|"))?;
    writeln!(text)?;
    for line in lines {
        write!(text, "| {} | {}, {} |", line.case, line.what, line.unit)?;
        for system in &systems {
            write!(text, " {} |", line.medians.get(system).map_or_else(|| "–".to_owned(), |value| shown(*value)))?;
        }
        for peer in ratios {
            write!(text, " {} |", ratio(line, *peer).unwrap_or_default())?;
        }
        writeln!(text)?;
    }
    writeln!(text)?;
    if !ratios.is_empty() {
        let better = "The last columns say how many times as good FerryMQ is: more than 1 is better";
        writeln!(text, "{better}, whether more or less is wanted.\n")?;
    }
    Ok(())
}

fn ratio(line: &Line, peer: System) -> Option<String> {
    if line.better == Better::Neither {
        return None;
    }
    let (ours, theirs) = (line.medians.get(&System::Ferrymq)?, line.medians.get(&peer)?);
    times_as_good(line.better, *ours, *theirs).map(shown)
}

/// Sentences, where there are some.
pub(super) fn list(text: &mut String, title: &str, sentences: &[String]) -> std::fmt::Result {
    if sentences.is_empty() {
        return Ok(());
    }
    writeln!(text, "{title}:\n")?;
    sentences.iter().try_for_each(|sentence| writeln!(text, "- {sentence}"))?;
    writeln!(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bench::reading::Reading;
    use crate::bench::results::Measurement;

    fn measurement(system: System, case: &str, round: u32, readings: Vec<Reading>) -> Measurement {
        Measurement {
            system,
            case: case.to_owned(),
            compared: case != "failover",
            round,
            readings,
            outcome: None,
            failure: None,
        }
    }

    fn results(measurements: Vec<Measurement>) -> Results {
        let machine = Machine::fixture();
        let limit = |writes_per_second| vec![DiskLimit { write_bytes: 1 << 20, writes_per_second }];
        let versions = [(System::Ferrymq, "FerryMQ 1".to_owned()), (System::Nats, "NATS 2".to_owned())];
        Results {
            machine,
            disk: vec![limit(100.0), limit(300.0)],
            versions: BTreeMap::from(versions),
            seconds: 15,
            rounds: 2,
            measurements,
        }
    }

    #[test]
    fn a_line_has_the_medians_and_how_many_times_as_good_we_are() {
        let rate = |value| Reading::more("received", "messages/s", value);
        let text = markdown(&results(vec![
            measurement(System::Ferrymq, "small", 1, vec![rate(2000.0), Reading::less("confirm, p50", "ms", 2.0)]),
            measurement(System::Nats, "small", 1, vec![rate(1000.0), Reading::less("confirm, p50", "ms", 1.0)]),
            measurement(System::Ferrymq, "small", 2, vec![rate(4000.0)]),
            measurement(System::Nats, "small", 2, vec![rate(1000.0)]),
        ]));
        assert!(text.contains("| case | | FerryMQ | NATS | × NATS |\n|---|---|---:|---:|---:|\n"), "{text}");
        assert!(text.contains("| small | received, messages/s | 3,000 | 1,000 | 3.00 |"), "{text}");
        assert!(text.contains("| small | confirm, p50, ms | 2.00 | 1.00 | 0.50 |"), "{text}");
        assert!(text.contains("| 1024 KiB | 200 | 210 |"), "{text}");
    }

    #[test]
    fn what_only_we_were_measured_by_has_a_table_of_its_own() {
        let readings = vec![Reading::less("longest pause of a publisher", "ms", 12.0)];
        let text = markdown(&results(vec![measurement(System::Ferrymq, "failover", 1, readings)]));
        assert!(text.contains("| failover | longest pause of a publisher | 12.0 ms |"), "{text}");
    }

    #[test]
    fn what_was_not_measured_is_said_with_why() {
        let failed =
            Measurement { failure: Some("it ended".to_owned()), ..measurement(System::Nats, "large", 2, Vec::new()) };
        let text = markdown(&results(vec![failed]));
        assert!(text.contains("Not measured:\n\n- large, NATS, round 2: it ended\n"), "{text}");
    }
}
