//! Installs what the client programs need, once, into the cache, and runs them against a broker. Std only: the tests on
//! Kubernetes include this file as well.

#![allow(dead_code, reason = "each of the tests that include this runs some of the programs")]

use std::{
    env, fs,
    fs::File,
    io,
    path::{self, Path, PathBuf},
    process::Command,
};

/// The programs in Python, each a check of something else.
pub(crate) const PYTHON: [&str; 7] =
    ["hello", "services", "publishing", "consuming", "declaring", "connecting", "streams"];

/// The programs in Java, by class.
pub(crate) const JAVA: [&str; 1] = ["shop.Invoices"];

/// Runs a program in Python against the broker at this URI; gives what it printed.
///
/// # Errors
///
/// What it printed, where it ended with anything but success.
pub(crate) fn python(program: &str, arguments: &[&str]) -> Result<String, String> {
    let interpreter = environment()?;
    let script = here().join("python").join(format!("{program}.py"));
    run(Command::new(interpreter).arg("-B").arg(script).args(arguments))
}

/// Runs a program in Java against the broker at this URI; gives what it printed.
///
/// # Errors
///
/// What it printed, where it ended with anything but success.
pub(crate) fn java(class: &str, arguments: &[&str]) -> Result<String, String> {
    let classes = classes()?;
    run(Command::new("java").arg("-cp").arg(classes).arg(class).args(arguments))
}

fn here() -> PathBuf {
    path::absolute("tests/clients").expect("cargo runs tests in their package's folder")
}

/// The interpreter of a virtual environment that has what `requirements.txt` names.
fn environment() -> Result<PathBuf, String> {
    let requirements = here().join("python/requirements.txt");
    let root = installed("python", &[&requirements], |root| {
        let make = || run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(root));
        make().or_else(|_| debian(&["python3", "python3-venv"]).and_then(|()| make()))?;
        let pip = root.join("bin/pip");
        run(Command::new(pip).args(["install", "--quiet", "--no-input", "--requirement"]).arg(&requirements))?;
        Ok(())
    })?;
    Ok(root.join("bin/python"))
}

/// The class path of the programs in Java, compiled.
fn classes() -> Result<String, String> {
    let project = here().join("java");
    let source = project.join("src/main/java/shop/Invoices.java");
    let root = installed("java", &[&project.join("pom.xml"), &source], |root| {
        let build = || {
            let mut maven = Command::new("mvn");
            maven.args(["--batch-mode", "--quiet", "--file"]).arg(project.join("pom.xml"));
            maven.arg(format!("-Dmaven.repo.local={}", cache().join("maven").display()));
            maven.arg(format!("-Doutput.directory={}", root.display()));
            maven.arg(format!("-Dmdep.outputFile={}", root.join("classpath").display()));
            run(maven.args(["compile", "dependency:build-classpath"]))
        };
        let there = run(Command::new("mvn").arg("--version")).is_ok();
        if !there {
            debian(&["maven", "default-jdk-headless"])?;
        }
        // Once more: the repository may have been slow.
        build().or_else(|_| build()).map(|_| ())
    })?;
    let dependencies = fs::read_to_string(root.join("classpath")).map_err(|error| error.to_string())?;
    Ok(format!("{}:{}", root.join("classes").display(), dependencies.trim()))
}

/// A folder in the cache for these inputs as they are now, filled by `install` where it is not complete.
fn installed(
    what: &str,
    inputs: &[&Path],
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let told = |error: io::Error| format!("the cache {} cannot be used: {error}", cache().display());
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for input in inputs {
        for byte in fs::read(input).map_err(|error| format!("cannot read {}: {error}", input.display()))? {
            // FNV-1a: it only has to tell one version of the inputs from the next.
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    let clients = cache().join("clients");
    fs::create_dir_all(&clients).map_err(told)?;
    // Other tests may be about to install the same; the lock goes with the file.
    let lock = File::create(clients.join(format!("{what}.lock"))).map_err(told)?;
    lock.lock().map_err(told)?;
    let root = clients.join(format!("{what}-{hash:016x}"));
    let complete = root.join("complete");
    if !complete.exists() {
        fs::create_dir_all(&root).map_err(told)?;
        install(&root)?;
        File::create(&complete).map_err(told)?;
    }
    Ok(root)
}

/// Where what takes long to get is kept from one run to the next.
fn cache() -> PathBuf {
    let home = || Path::new(&env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache/ferrymq");
    env::var_os("FERRYMQ_CACHE").map_or_else(home, PathBuf::from)
}

/// Installs packages of Debian, where this is one and we may.
fn debian(packages: &[&str]) -> Result<(), String> {
    let install = |()| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        run(command.args(["install", "--yes", "--no-install-recommends"]).args(packages)).map(|_| ())
    };
    install(())
        .or_else(|_| run(Command::new("apt-get").arg("update")).and_then(|_| install(())))
        .map_err(|error| format!("{} are needed, and could not be installed: {error}", packages.join(" and ")))
}

fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} cannot be run: {error}"))?;
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        Ok(printed)
    } else {
        Err(format!("{program} ended with {}:\n{printed}", output.status))
    }
}
