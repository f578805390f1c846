//! What is asked for, from the first queue to the result.

use std::{io::Write, path::Path, pin::Pin, pin::pin, sync::Arc};

use crate::{
    arguments::{Arguments, Common, Load, Other, Queues},
    error::BenchError,
    load::Running,
    queues::{self, Task, Work},
    report::{Output, QueuesReport, grouped, per_second},
};

/// Runs a load, or declares queues, until it is done or `stop` is. The result goes to `out`; what people read goes to
/// `aside` where programs read `out`.
///
/// # Errors
///
/// [`BenchError`] with what is wrong and what to do.
pub async fn run<'a>(
    arguments: &Arguments,
    stop: impl Future<Output = ()>,
    out: &'a mut dyn Write,
    aside: &'a mut dyn Write,
) -> Result<(), BenchError> {
    let stop = pin!(stop);
    let common = match &arguments.other {
        Some(Other::Queues(queues)) => &queues.common,
        None => &arguments.load.common,
    };
    let to_programs = common.json.as_deref() == Some(Path::new("-"));
    let (people, programs) = if to_programs { (aside, Some(out)) } else { (out, None) };
    let mut output = Output { people, programs, quiet: common.quiet };
    match &arguments.other {
        Some(Other::Queues(queues)) => declare(queues, stop, &mut output).await,
        None => load(&arguments.load, stop, &mut output).await,
    }
}

async fn declare(
    arguments: &Queues,
    stop: Pin<&mut impl Future<Output = ()>>,
    output: &mut Output<'_>,
) -> Result<(), BenchError> {
    arguments.check()?;
    let Common { uri, queue_prefix, queue_type, delete, json, .. } = &arguments.common;
    let names = Arc::new(queues::names(queue_prefix, arguments.count));
    let connections = arguments.connections.min(arguments.count);
    let work = Work { connections, ..Work::new(uri, &names, Task::Declare(*queue_type)) };
    let mut before = 0;
    let done = work
        .run_until(stop, |count, p99| {
            let p99 = p99.map_or_else(|| "-".to_owned(), |p99| format!("{:.1} ms", p99 as f64 / 1000.0));
            let line = format!("{} declared, {}/s, p99 {p99}", grouped(count), grouped(count - before));
            before = count;
            output.progress(&line)
        })
        .await?;
    let seconds = done.nanoseconds as f64 / 1e9;
    let report = QueuesReport {
        uri: uri.iter().map(ToString::to_string).collect(),
        seconds,
        declared: done.count,
        declared_per_second: per_second(done.count, seconds),
        declare_ms: done.latency.map(Into::into),
        connections,
    };
    output.result(&report, json.as_deref())?;
    if *delete {
        let declared = usize::try_from(done.count).unwrap_or(usize::MAX).min(names.len());
        let names = Arc::new(names[..declared].to_vec());
        Work { connections, ..Work::new(uri, &names, Task::Delete) }.run().await?;
    }
    Ok(())
}

async fn load(
    arguments: &Load,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    output: &mut Output<'_>,
) -> Result<(), BenchError> {
    arguments.check()?;
    let Common { uri, queue_prefix, queue_type, delete, json, .. } = &arguments.common;
    let names = Arc::new(queues::names(queue_prefix, arguments.queues));
    let task = if arguments.no_declare { Task::Find } else { Task::Declare(*queue_type) };
    Work::new(uri, &names, task).run().await?;
    let mut running = Running::new(arguments, &names);
    let mut ended = Ok(());
    if running.open(&mut stop).await? {
        ended = running.go(&mut stop, output).await;
        let report = running.finish().await?;
        output.result(&report, json.as_deref())?;
        for words in running.errors() {
            output.progress(&format!("error: {words}"))?;
        }
    }
    if *delete {
        Work::new(uri, &names, Task::Delete).run().await?;
    }
    ended
}
