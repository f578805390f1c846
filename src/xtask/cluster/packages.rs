//! The Debian packages that the cluster needs.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::command;

/// Every package, by a file that it brings.
const PACKAGES: &[(&str, &[&str])] = &[
    ("runc", &["/usr/sbin/runc", "/usr/bin/runc"]),
    ("iptables", &["/usr/sbin/iptables"]),
    ("ipset", &["/usr/sbin/ipset", "/sbin/ipset"]),
    ("conntrack", &["/usr/sbin/conntrack"]),
    ("iproute2", &["/usr/sbin/ip", "/usr/bin/ip", "/sbin/ip"]),
    ("containernetworking-plugins", &["/usr/lib/cni/host-local"]),
    ("openssl", &["/usr/bin/openssl"]),
    ("xfsprogs", &["/usr/sbin/mkfs.xfs", "/sbin/mkfs.xfs"]),
    ("e2fsprogs", &["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4"]),
];

/// Installs what is missing.
///
/// # Errors
///
/// Where something is missing and apt-get is not there, or fails.
pub(super) fn install() -> anyhow::Result<()> {
    let missing: Vec<_> =
        PACKAGES.iter().filter(|(_, files)| !files.iter().any(|file| Path::new(file).exists())).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
    if !command::exists("apt-get") {
        bail!("the cluster needs these packages, by their names on Debian: {}", names.join(", "));
    }
    println!("cluster: installing {}", names.join(", "));
    command::run(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&names);
    command::run(install.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::process::Stdio::null()))
}
