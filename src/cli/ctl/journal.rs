//! `ferrymq ctl journal`: a look at the data of a broker that does not run.

use std::{collections::BTreeSet, path::Path};

use ferrymq_server::DataReport;

use super::{Answer, CtlError, Journal};
use crate::{table::Table, told::told};

pub(super) async fn run(command: &Journal) -> Result<Answer, CtlError> {
    match command {
        Journal::Verify { directory } => {
            let path = directory.clone();
            let looked = tokio::task::spawn_blocking(move || ferrymq_server::verify(&path)).await;
            let found = looked.map_err(|error| CtlError::Look(told(&error)))?;
            let report = found.map_err(|error| CtlError::Look(told(&error)))?;
            Ok(Answer { text: print(directory, &report), exit_code: u8::from(!report.problems.is_empty()) })
        }
    }
}

fn print(directory: &Path, report: &DataReport) -> String {
    let name = |path: &Path| path.strip_prefix(directory).unwrap_or(path).display().to_string();
    let damaged: BTreeSet<&Path> = report.problems.iter().map(|problem| &*problem.path).collect();
    let mut files = Table::new(["FILE", "RECORDS", "BYTES", "VERDICT"]);
    for file in &report.files {
        let records = file.records.map(|records| records.to_string()).unwrap_or_default();
        let verdict = if damaged.contains(&*file.path) { "damaged" } else { "whole" };
        files.row([name(&file.path), records, file.bytes.to_string(), verdict.to_owned()]);
    }
    // What cannot be opened at all, or is not there.
    let listed: BTreeSet<&Path> = report.files.iter().map(|file| &*file.path).collect();
    for path in damaged.difference(&listed) {
        files.row([name(path), String::new(), String::new(), "damaged".to_owned()]);
    }
    let mut text = files.to_string();
    if let Some(torn) = &report.torn_tail {
        text.push_str(&format!("\n{torn}\n"));
    }
    if report.problems.is_empty() {
        let bytes: u64 = report.files.iter().map(|file| file.bytes).sum();
        text.push_str(&format!("\nall {bytes} bytes are as they were written\n"));
        return text;
    }
    let mut problems = Table::new(["FILE", "OFFSET", "PROBLEM"]);
    for problem in &report.problems {
        problems.row([name(&problem.path), problem.offset.to_string(), problem.problem.clone()]);
    }
    let advice = if report.problems.iter().all(|problem| problem.mended_by_start) {
        "nothing is lost: the broker puts this right when it is started"
    } else {
        "where other brokers of its cluster run, start this one: it sets its data aside, and they fill it anew; one that is \
         alone is to be restored from a backup, or from a snapshot of its volume"
    };
    text.push_str(&format!("\n{problems}\n{advice}\n"));
    text
}
