//! `cargo xtask cluster …`: the Kubernetes that the tests run on.
//!
//! A cluster of one's own, named by `KUBECONFIG`, is taken where there is one. Else there is one of ours: its binaries
//! are built once into the cache, and `tests/cluster/cluster.sh` starts and ends it.

mod build;
mod packages;
mod recipes;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context as _, bail};
use clap::Subcommand;

use crate::command::{self, command};
use crate::image;
use crate::project::Project;

/// Where everything of a running cluster lies. There is one a machine, as the names of its networks are the machine's.
const STATE: &str = "/var/tmp/ferrymq-cluster";

const NODES: u8 = 3;

/// What to do with the cluster.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// Start it, unless it runs; builds its binaries first where they are missing
    Up,
    /// Stop it, and leave nothing behind
    Down,
    /// Put an image onto every node
    Load {
        /// Its archive [default: what `cargo xtask image` packs]
        archive: Option<PathBuf>,
    },
    /// Show its nodes; fails unless all are ready
    Status,
    /// Print the path of its kubeconfig
    Kubeconfig,
}

/// A Kubernetes to run tests on.
pub(crate) enum Cluster {
    /// The one that `tests/cluster` starts.
    Ours {
        /// The folder of its binaries, kubectl and helm among them.
        binaries: PathBuf,
        /// The script that starts and ends it.
        script: PathBuf,
    },
    /// One that `KUBECONFIG` names.
    Given(PathBuf),
}

/// # Errors
///
/// Where the action fails; the message says what to do.
pub(crate) fn run(project: &Project, action: &Action) -> anyhow::Result<()> {
    let cluster = Cluster::find(project);
    match action {
        Action::Up => cluster.up(project),
        Action::Down => cluster.down(),
        Action::Status => cluster.status(),
        Action::Load { archive: Some(archive) } => cluster.load(archive),
        Action::Load { archive: None } => cluster.load(&image::pack(project, &image::Options::default())?.archive),
        Action::Kubeconfig => {
            println!("{}", cluster.kubeconfig().display());
            Ok(())
        }
    }
}

/// A helm: the cluster's where it is built, else the one in the path, else the cluster's, built now.
///
/// # Errors
///
/// Where there is none, and it cannot be built.
pub(crate) fn helm(project: &Project) -> anyhow::Result<PathBuf> {
    tool(project, recipes::HELM)
}

/// A kubeconform, as [`helm`].
///
/// # Errors
///
/// Where there is none, and it cannot be built.
pub(crate) fn kubeconform(project: &Project) -> anyhow::Result<PathBuf> {
    tool(project, recipes::KUBECONFORM)
}

/// A versitygw, as [`helm`].
///
/// # Errors
///
/// Where there is none, and it cannot be built.
pub(crate) fn versitygw(project: &Project) -> anyhow::Result<PathBuf> {
    tool(project, recipes::VERSITYGW)
}

fn tool(project: &Project, recipe: recipes::Recipe) -> anyhow::Result<PathBuf> {
    let (sources, binaries, name) = (sources(project), binaries(project), recipe.name);
    if !build::is_built(&recipe, &sources, &binaries)? {
        if command::exists(name) {
            return Ok(name.into());
        }
        if !command::exists("go") {
            bail!("{name} is needed: install it, or Go 1.26 to build it");
        }
        build::build(&[recipe], &sources, &binaries)?;
    }
    Ok(binaries.join(name))
}

/// What Kubernetes publishes of its API, as the version that the tests run on has it: OpenAPI 2.0.
///
/// # Errors
///
/// Where Go is missing, or its module cannot be had.
pub(crate) fn openapi(project: &Project) -> anyhow::Result<String> {
    let mut module =
        command(&sources(project).join("kubernetes"), "go", &["mod", "download", "-json", "k8s.io/kubernetes"]);
    let output =
        module.env("GOWORK", "off").output().with_context(|| format!("cannot start {}", command::shown(&module)))?;
    let module: serde_json::Value = serde_json::from_slice(&output.stdout).context("go mod download said no JSON")?;
    let folder =
        module["Dir"].as_str().with_context(|| format!("k8s.io/kubernetes cannot be had: {}", module["Error"]))?;
    let file = PathBuf::from(folder).join("api/openapi-spec/swagger.json");
    fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))
}

/// What the cluster's programs are built from, and what starts it.
fn sources(project: &Project) -> PathBuf {
    project.root.join("tests/cluster")
}

/// Where its programs lie.
fn binaries(project: &Project) -> PathBuf {
    project.cache.join("cluster/bin")
}

impl Cluster {
    pub(crate) fn find(project: &Project) -> Self {
        match env::var_os("KUBECONFIG").map(PathBuf::from) {
            Some(given) if !given.as_os_str().is_empty() && !given.starts_with(STATE) => Self::Given(given),
            _ => Self::Ours { binaries: binaries(project), script: sources(project).join("cluster.sh") },
        }
    }

    /// The file that kubectl and the tests are given.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        match self {
            Self::Ours { .. } => PathBuf::from(STATE).join("conf/admin.kubeconfig"),
            Self::Given(path) => path.clone(),
        }
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    ///
    /// Where a binary cannot be built, or the cluster does not become ready.
    pub(crate) fn up(&self, project: &Project) -> anyhow::Result<()> {
        let Self::Ours { binaries, .. } = self else {
            return self.leave_alone("nothing is started");
        };
        packages::install()?;
        build::build(recipes::RECIPES, &sources(project), binaries)?;
        let started = Instant::now();
        command::run(self.script("up")?.stdout(std::process::Stdio::null()))?;
        println!("cluster: up ({:.1} s)", started.elapsed().as_secs_f64());
        println!("export KUBECONFIG={} PATH={}:$PATH", self.kubeconfig().display(), binaries.display());
        Ok(())
    }

    fn down(&self) -> anyhow::Result<()> {
        match self {
            Self::Ours { .. } => command::run(&mut self.script("down")?),
            Self::Given(_) => self.leave_alone("nothing is stopped"),
        }
    }

    fn status(&self) -> anyhow::Result<()> {
        match self {
            Self::Ours { .. } => command::run(&mut self.script("status")?),
            Self::Given(_) => command::run(Command::new("kubectl").args(["get", "nodes"])),
        }
    }

    /// Puts an image onto every node.
    ///
    /// # Errors
    ///
    /// Where a node does not take it; always for a cluster that is not ours, with what to do instead.
    pub(crate) fn load(&self, archive: &std::path::Path) -> anyhow::Result<()> {
        let archive = fs::canonicalize(archive).with_context(|| format!("there is no {}", archive.display()))?;
        match self {
            Self::Ours { .. } => command::run(self.script("load")?.arg(&archive)),
            Self::Given(path) => bail!(
                "the cluster of {} is not ours, and may not let an image be put onto its nodes: push {} to a registry \
                 that it pulls from, and set FERRYMQ_IMAGE to what it is called there",
                path.display(),
                archive.display()
            ),
        }
    }

    /// What a test needs to work on the cluster: its kubeconfig, kubectl and helm in the path, and for faults where
    /// the nodes are.
    pub(crate) fn environment(&self) -> anyhow::Result<Vec<(&'static str, std::ffi::OsString)>> {
        let mut variables = vec![("KUBECONFIG", self.kubeconfig().into_os_string())];
        if let Self::Ours { binaries, .. } = self {
            let path = env::var_os("PATH").unwrap_or_default();
            let path = std::iter::once(binaries.clone()).chain(env::split_paths(&path));
            variables.push(("PATH", env::join_paths(path)?));
            variables.push(("FERRYMQ_CLUSTER_STATE", STATE.into()));
        }
        Ok(variables)
    }

    /// The call of the script that starts and ends our own cluster.
    fn script(&self, verb: &str) -> anyhow::Result<Command> {
        let Self::Ours { binaries, script } = self else { bail!("the cluster is not ours to {verb}") };
        let folder = script.parent().context("a script that lies nowhere")?;
        let mut call = command(folder, "bash", &[]);
        call.arg(script).arg(verb).env("BIN", binaries).env("STATE", STATE).env("NODES", NODES.to_string());
        Ok(call)
    }

    fn leave_alone(&self, what: &str) -> anyhow::Result<()> {
        println!(
            "cluster: KUBECONFIG names {}, so {what}; unset it for a cluster of ours",
            self.kubeconfig().display()
        );
        Ok(())
    }
}
