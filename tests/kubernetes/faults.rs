//! Everything that breaks something. Each verb undoes itself, or leaves what Kubernetes heals by itself.
//!
//! Links and processes can be reached only where the nodes are on this machine: in the cluster of `tests/cluster`.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{Api, ResourceExt as _};

use crate::command::kubectl;
use crate::world::{World, claim, container_of};

/// Whether the nodes are on this machine.
pub(crate) fn possible() -> bool {
    env::var_os("FERRYMQ_CLUSTER_STATE").is_some()
}

/// Says so where a story is left out because the nodes are not on this machine.
pub(crate) fn left_out(story: &str) -> bool {
    if !possible() {
        println!("measured: {story}: left out, as the nodes of this cluster are not on this machine");
    }
    !possible()
}

/// A node without a link to anything; it has one again when this is dropped.
pub(crate) struct Cut {
    node: String,
}

/// Cuts a node's link: to the other nodes, to the API server, to clients.
pub(crate) fn cut(node: &str) -> Cut {
    link(node, "down");
    Cut { node: node.to_owned() }
}

impl Drop for Cut {
    fn drop(&mut self) {
        link(&self.node, "up");
    }
}

fn link(node: &str, state: &str) {
    run(Command::new("ip").args(["link", "set", &format!("ferrymq-{node}"), state]));
}

/// Kills the processes of these pods, all at once and without a warning, as a crash does. Their containers are started
/// again by Kubernetes.
pub(crate) fn kill_processes(pods: &[Pod]) {
    let processes: Vec<_> = pods.iter().map(|pod| process(pod).to_string()).collect();
    run(Command::new("kill").arg("-9").args(processes));
}

/// Processes that stand still; they go on when this is dropped.
pub(crate) struct Paused {
    process: u32,
}

/// Stops the process of a pod where it is, as a host does that has no time for it.
pub(crate) fn pause(pod: &Pod) -> Paused {
    let process = process(pod);
    signal(process, "-STOP");
    Paused { process }
}

/// Stops the API server where it is: whoever asks it waits.
pub(crate) fn pause_api_server() -> Paused {
    let state = std::fs::canonicalize(env::var_os("FERRYMQ_CLUSTER_STATE").expect("the cluster is on this machine"));
    let state = state.expect("the cluster has a folder");
    // The one of this cluster: its processes run in its folder.
    let processes = std::fs::read_dir("/proc").expect("there are processes").filter_map(Result::ok);
    let process = processes.map(|entry| entry.path()).find(|process| {
        let is = |link: &str| std::fs::read_link(process.join(link)).ok();
        is("cwd").is_some_and(|folder| folder == state) && is("exe").is_some_and(|exe| exe.ends_with("kube-apiserver"))
    });
    let process = process.as_ref().and_then(|path| path.file_name()?.to_str()?.parse().ok());
    let process = process.expect("the API server runs");
    signal(process, "-STOP");
    Paused { process }
}

impl Drop for Paused {
    fn drop(&mut self) {
        signal(self.process, "-CONT");
    }
}

fn signal(process: u32, signal: &str) {
    run(Command::new("kill").args([signal, &process.to_string()]));
}

/// Volumes without any room; there is room again when this is dropped.
pub(crate) struct Filled {
    fillers: Vec<PathBuf>,
}

/// Fills the volumes of these brokers' pods, which must be of the class `sized`, to the last block.
pub(crate) async fn fill(world: &World, pods: &[&str]) -> Filled {
    let mut directories = Vec::new();
    for pod in pods {
        let claim = world.api::<PersistentVolumeClaim>().get(&claim(pod)).await.expect("a broker has a volume");
        let volume = claim.spec.and_then(|spec| spec.volume_name).expect("the claim is bound");
        let volume = Api::<PersistentVolume>::all(world.client.clone()).get(&volume).await.expect("it is there");
        let path = volume.spec.and_then(|spec| spec.host_path).expect("it is a directory of this machine").path;
        directories.push(path.into());
    }
    fill_all(directories).await
}

/// Fills the filesystem of a directory to the last block.
pub(crate) async fn fill_directory(directory: PathBuf) -> Filled {
    fill_all(vec![directory]).await
}

async fn fill_all(directories: Vec<PathBuf>) -> Filled {
    let mut filled = Filled { fillers: Vec::new() };
    let mut filling = Vec::new();
    for directory in directories {
        let filler = directory.join("filler");
        filled.fillers.push(filler.clone());
        // Beside the clients, which must go on being heard.
        filling.push(tokio::task::spawn_blocking(move || fill_with(&filler)));
    }
    for filling in filling {
        filling.await.expect("a volume can be filled");
    }
    filled
}

/// Mounts a new filesystem of so many megabytes, which lies in a file.
pub(crate) fn mount(file: &Path, megabytes: u32, directory: &Path) {
    run(Command::new("truncate").arg(format!("--size={megabytes}M")).arg(file));
    run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(file));
    run(Command::new("mount").args(["-o", "loop"]).args([file, directory]));
}

/// Takes it away again.
pub(crate) fn unmount(directory: &Path) {
    // Where the story fails, that is what is to be told.
    let _ = Command::new("umount").arg("--lazy").arg(directory).status();
}

fn fill_with(filler: &Path) {
    // All but the last of it at once, and that as a program does that writes.
    let free =
        run(Command::new("df").args(["--output=avail", "-B1M"]).arg(filler.parent().expect("it is in a folder")));
    let free = free.lines().nth(1).and_then(|line| line.trim().parse::<u64>().ok()).expect("df says how much is free");
    run(Command::new("fallocate").args(["-l", &format!("{}M", free.saturating_sub(8).max(1))]).arg(filler));
    let mut file = std::fs::File::options().append(true).open(filler).expect("a volume can be written");
    for block in [1 << 16, 512] {
        let block = vec![0_u8; block];
        let full = loop {
            if let Err(error) = file.write_all(&block) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        for filler in &self.fillers {
            // The volume may be gone.
            let _ = std::fs::remove_file(filler);
        }
    }
}

/// Deletes a pod without giving it time, as an operator of a lost machine does.
pub(crate) fn force_delete(namespace: &str, pods: &[&str]) {
    let arguments = ["delete", "pod", "--namespace", namespace, "--force", "--grace-period=0", "--wait=false"];
    kubectl(&[&arguments, pods].concat());
}

/// Policies of the network are enforced on every node until this is dropped.
pub(crate) struct Enforced {
    nodes: Vec<Child>,
}

/// Begins to enforce policies of the network; the test cluster lets everybody in otherwise.
pub(crate) fn enforce_policies() -> Enforced {
    let kubeconfig = format!("-kubeconfig={}", env::var("KUBECONFIG").expect("KUBECONFIG names the cluster"));
    let nodes = kubectl(&["get", "nodes", "--output=jsonpath={.items[*].metadata.name}"]);
    let enforced = nodes.split_whitespace().map(|node| {
        let network = format!("--net=/run/netns/ferrymq-{node}");
        let mut enforce = Command::new("nsenter");
        enforce.args([&network, "policies", &kubeconfig, &format!("-node={node}")]).stderr(Stdio::null());
        enforce.spawn().expect("nsenter is in the path")
    });
    Enforced { nodes: enforced.collect() }
}

impl Drop for Enforced {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // It takes away its rules before it ends; nsenter has become it.
            signal(node.id(), "-TERM");
        }
        for node in &mut self.nodes {
            let _ = node.wait();
        }
    }
}

/// Whether a process in the network of one pod gets a connection to a port of another one.
pub(crate) fn reaches(from: &Pod, to: &Pod, port: u16) -> bool {
    let address = to.status.as_ref().and_then(|status| status.pod_ip.as_deref()).expect("the pod has an address");
    let dial = format!("exec 3<>/dev/tcp/{address}/{port}");
    let network = ["--target", &process(from).to_string(), "--net", "timeout", "2", "bash", "-c", &dial];
    let dialled = Command::new("nsenter").args(network).stderr(Stdio::null()).status();
    dialled.expect("nsenter is in the path").success()
}

/// The memory of the process of a pod, in bytes: its own, and its share of what it has together with others, such as the one
/// program that operator and brokers are.
pub(crate) fn memory_of(pod: &Pod) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", process(pod))).expect("the process runs");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a process has memory");
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("memory is a number")
}

/// The processor time that the process of a pod has taken, in seconds.
pub(crate) fn processor_seconds(pod: &Pod) -> f64 {
    // In hundredths of a second, on every Linux: proc_pid_stat(5), fields 14 and 15, of which two are before the name's end.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process(pod))).expect("the process runs");
    let (_, after) = stat.rsplit_once(')').expect("the name is in brackets");
    let ticks = |field: usize| after.split_whitespace().nth(field - 3).and_then(|ticks| ticks.parse::<f64>().ok());
    (ticks(14).expect("time of its own") + ticks(15).expect("time of the system")) / 100.0
}

/// The process of a pod's one container, as this machine numbers it.
fn process(pod: &Pod) -> u32 {
    let name = pod.name_any();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).expect("the pod has a node");
    let container = container_of(pod);
    let id = container.as_deref().and_then(|id| id.strip_prefix("containerd://"));
    let id = id.expect("the pod has a container that runs");
    let state = PathBuf::from(env::var_os("FERRYMQ_CLUSTER_STATE").expect("the nodes are on this machine"));
    let socket = state.join(node).join("containerd.sock");
    let tasks = run(Command::new("ctr").arg("--address").arg(socket).args(["--namespace", "k8s.io", "tasks", "list"]));
    let task =
        tasks.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{name} does not run:\n{tasks}"));
    task.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).expect("the second column is the process")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?} failed: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
