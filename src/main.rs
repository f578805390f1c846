//! `ferrymq`: the operator, the broker, and what people type, in one binary. Under the name `kubectl-mq` it is a plugin of
//! kubectl, and nothing else.

use std::{
    env,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use clap::{Parser, Subcommand};
use ferrymq_cli::{
    ctl::{self, CtlError},
    dev::asked_to_stop,
    mq,
};
use tracing_subscriber::EnvFilter;

mod launch;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Message queues for Kubernetes.
#[derive(Parser)]
#[command(name = "ferrymq", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the operator; the chart sets its environment.
    Operator,
    /// Runs one broker; the operator writes its configuration.
    Broker {
        /// The configuration, as JSON.
        #[arg(long, default_value = "/etc/ferrymq/broker.json")]
        config: PathBuf,
    },
    /// Runs a whole cluster on this machine, from the same YAML as on Kubernetes.
    Dev(ferrymq_cli::dev::Arguments),
    /// Asks a broker, or tells it something; or looks at the data of one that does not run.
    Ctl(ctl::Arguments),
    /// Measures how fast a broker is: FerryMQ, or another that speaks AMQP 0-9-1.
    Bench(ferrymq_bench::Arguments),
    /// Prints the custom resource definitions.
    Crds,
}

fn main() -> ExitCode {
    let called = env::args_os().next().unwrap_or_default();
    if Path::new(&called).file_name().is_some_and(|name| name == mq::PROGRAM) {
        return plugin();
    }
    let arguments = Arguments::parse();
    log(&arguments.command);
    ferrymq_tls::install();
    let mut builder = match arguments.command {
        // It shares its machine with what it measures, and costs the least on one thread.
        // The operator waits for others most of the time; a thread more is memory more.
        Command::Bench(_) | Command::Operator => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments.command)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ferrymq: {error:#}");
            error.downcast_ref().map_or(ExitCode::FAILURE, |error: &CtlError| error.exit_code().into())
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Operator => ferrymq_operator::run(ferrymq_operator::Settings::from_environment()?).await?,
        Command::Broker { config } => broker(config).await?,
        Command::Dev(arguments) => {
            let stop = asked_to_stop();
            ferrymq_cli::dev::run(&arguments, &launch::InThisProcess, stop, &mut std::io::stdout()).await?;
        }
        Command::Ctl(arguments) => {
            let answer = ctl::run(&arguments).await?;
            print!("{}", answer.text);
            return Ok(answer.exit_code.into());
        }
        Command::Bench(arguments) => {
            let (mut out, mut aside) = (std::io::stdout(), std::io::stderr());
            ferrymq_bench::run(&arguments, asked_to_stop(), &mut out, &mut aside).await?;
        }
        Command::Crds => print!("{}", ferrymq_api::crds_yaml()?),
    }
    Ok(ExitCode::SUCCESS)
}

/// What `kubectl mq` runs.
fn plugin() -> ExitCode {
    let arguments = mq::Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let mut out = std::io::stdout();
            let terminal = out.is_terminal();
            tokio::select! {
                done = mq::run(&arguments, &mut out, terminal) => done.map_err(anyhow::Error::from),
                () = asked_to_stop() => Ok(mq::Ended::Well),
            }
        }),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(mq::Ended::Well) => ExitCode::SUCCESS,
        Ok(mq::Ended::Stalled) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kubectl mq: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn broker(config: PathBuf) -> anyhow::Result<()> {
    let configuration = ferrymq_server::read_configuration(&config)?;
    let name = env::var("FERRYMQ_NODE_NAME").context("FERRYMQ_NODE_NAME is not set: it is the pod's name")?;
    let ordinal = name.rsplit('-').next().and_then(|ordinal| ordinal.parse().ok());
    let ordinal = ordinal.with_context(|| format!("FERRYMQ_NODE_NAME is '{name}', which does not end in a number"))?;
    let zone = env::var("FERRYMQ_ZONE").ok().filter(|zone| !zone.is_empty());
    let running = ferrymq_server::start(configuration, ordinal, zone).await?;
    tokio::select! {
        () = asked_to_stop() => {
            running.stop().await;
            Ok(())
        }
        // Nothing can be promised any more: the next start reads what is on the disk.
        reason = running.failed() => Err(anyhow!("the disk failed: {reason}")),
    }
}

/// Services log as JSON; what people type logs only what goes wrong. `FERRYMQ_LOG` asks for more.
fn log(command: &Command) {
    let service = matches!(command, Command::Operator | Command::Broker { .. });
    let default = if service { "info,openraft=error" } else { "error,openraft=off,lapin=off" };
    let filter = EnvFilter::try_from_env("FERRYMQ_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if service {
        subscriber.json().init();
    } else {
        subscriber.compact().init();
    }
}
