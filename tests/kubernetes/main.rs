//! Stories on a real Kubernetes: what users do, and what happens to them, with unmodified tools: helm, kubectl, an AMQP
//! client. `cargo xtask test kubernetes` starts the cluster, loads the image and runs them, one after another.
//!
//! | file | what is in it |
//! |---|---|
//! | `installation.rs` | from nothing to a cluster that serves |
//! | `clients.rs` | unmodified clients of RabbitMQ, in Python and Java |
//! | `leader_loss.rs` | the broker that leads a queue is killed, deleted, cut off |
//! | `volume_loss.rs` | a broker loses its volume; then the others restart |
//! | `rolling.rs` | brokers are restarted one after the other, when it is time |
//! | `scaling.rs` | more brokers, fewer, none |
//! | `draining.rs` | a broker with a gigabyte goes |
//! | `storage.rs` | volumes grow, or cannot, or are replaced by smaller ones |
//! | `healing.rs` | users delete what belongs to a cluster; machines fall silent |
//! | `weather.rs` | quotas, policies that deny, an API server that stands still |
//! | `upgrade.rs` | from the previous build to this one, and back |
//! | `operators.rs` | the operator is gone, is killed wherever it is, or is there twice |
//! | `exposure.rs` | clients from outside, and who is not let in |
//! | `tls.rs` | certificates are replaced under load |
//! | `power_loss.rs` | all brokers are killed at once |
//! | `disk_full.rs` | the volume of one broker is full, then those of all |
//! | `fault_run.rs` | one fault after another for some minutes, as a seed says, under load |
//! | `many_topics.rs` | thousands of Topics |
//! | `topic_life.rs` | a Topic is edited, deleted under each policy, goes with its namespace |
//! | `user_life.rs` | a User connects, is refused what it may not, gets another password, and goes in any order |
//! | `gitops.rs` | what is at rest has no diff and asks for hardly anything; what tools that wait make of a status |
//! | `plugin.rs` | `kubectl mq` |
//! | `metrics.rs` | what brokers and the operator say of themselves in figures |
//! | `backups.rs` | a cluster is backed up, lost with its namespace, and made again of its archive |
//! | `backup_faults.rs` | the store fails in every way while a cluster is archived, and while one is made of it |
//! | `backup_gap.rs` | the store is away for too long: the gap is told, and no restore leads into it |
//! | `backup_life.rs` | backups go, by hand and by retention, with what no other needs |
//! | `backup_limits.rs` | what cannot be archived or restored is refused with a sentence |
//! | `backup_operator.rs` | the operator is killed at each step of a backup, of its deletion and of a restore |
//! | `backup_verification.rs` | a backup is restored beside its cluster to see whether it can be |
//! | `backup_volume.rs` | a volume that all brokers mount is the archive |
//! | `bad_resources.rs` | what cannot be is refused, and the sentence helps |
//! | `archives.rs` | clusters that are archived, and made of an archive: resources and waits |
//! | `store.rs`, `store_faults.rs` | a store that speaks S3; and what goes wrong between it and whoever asks it |
//! | `world.rs` | a story's namespace, and what it can ask of Kubernetes |
//! | `install.rs`, `command.rs`, `bench.rs` | the chart; kubectl and helm; the load generator |
//! | `faults.rs` | everything that breaks something |
//! | `traffic/` | publishers and consumers that do as they should, and the history of what they did |
//!
//! What each change must do, and which story holds it to that:
//!
//! | the user does | story |
//! |---|---|
//! | raises or lowers `replicas`, by hand or by an autoscaler; to zero and back; below what queues need | `scaling`, `draining` |
//! | raises `storage.size`, where the class lets volumes grow and where not; lowers it, where it fits and where not | `storage` |
//! | changes image, resources or configuration; to what does not run; in a window; when somebody approves | `rolling` |
//! | deletes a pod, one that does not stop too; loses a machine, a volume, all brokers at once | `leader_loss`, `healing`, `volume_loss`, `power_loss`, `fault_run` |
//! | lowers partitions, changes what cannot be changed | `bad_resources`, `topic_life` |
//! | raises partitions; edits a `Topic`; deletes it, by each policy and in any order | `topic_life`, `user_life` |
//! | deletes a `MessageQueue`, and makes one of that name again | `storage`, `installation` |
//! | edits a topic by a protocol | `many_topics` |
//! | upgrades chart and operator, then the brokers; and goes back | `upgrade` |
//! | exposes a listener, and says who may connect | `exposure` |
//! | lets a certificate or a password be replaced | `tls`, `user_life` |
//! | deletes what belongs to a cluster | `healing` |
//! | applies what lies in Git again and again | `gitops` |
//!
//! Each story has a namespace of its own, and leaves the cluster whole. Waits are for a state, with a deadline. Lines that
//! begin with `measured:` are shown again at the end of the run.
//!
//! What the stories take from the environment, as `cargo xtask` sets it:
//!
//! | variable | meaning |
//! |---|---|
//! | `KUBECONFIG` | the cluster; kubectl and helm are in the path |
//! | `FERRYMQ_IMAGE` | the image, which the nodes have or can pull |
//! | `FERRYMQ_PREVIOUS_IMAGE`, `FERRYMQ_PREVIOUS_CHARTS` | the previous build, to upgrade from; without it that is left out |
//! | `FERRYMQ_VERSITYGW` | the store that backups go to |
//! | `FERRYMQ_BIN` | the binary, which is the plugin too |
//! | `FERRYMQ_KEEP` | the namespace of a story that failed stays, where this is set |
//! | `FERRYMQ_FAULT_MINUTES` | how long faults follow each other, 2 where it is not set |
//! | `FERRYMQ_FAULT_SEED` | which faults, another one each time where it is not set |
//! | `FERRYMQ_CLUSTER_STATE` | where the nodes of a cluster of ours are; without it no story runs that breaks them |

#![allow(clippy::panic, reason = "a story that cannot go on ends so, and says why")]

mod archives;
mod backup_faults;
mod backup_gap;
mod backup_life;
mod backup_limits;
mod backup_operator;
mod backup_verification;
mod backup_volume;
mod backups;
mod bad_resources;
mod bench;
mod clients;
mod command;
mod disk_full;
mod draining;
mod exposure;
mod fault_run;
mod faults;
mod gitops;
mod healing;
mod install;
mod installation;
mod leader_loss;
mod many_topics;
mod metrics;
mod operators;
mod plugin;
mod power_loss;
mod rolling;
mod scaling;
mod storage;
mod store;
mod store_faults;
mod tls;
mod topic_life;
mod traffic;
mod upgrade;
mod user_life;
mod volume_loss;
mod weather;
mod world;
