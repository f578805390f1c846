//! Damage, on a disk that fails at every point.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use ferrymq_journal::{Disk, Journal, Options, Record as JournalRecord};
use ferrymq_testkit::SimulatedDisk;

use super::{
    open::{open, open_when_free},
    record::{Record, State},
    set_aside::Directory,
    verify,
};
use crate::{
    identity::{Identity, IdentityFile, Membership},
    node::{Settings, StartError},
};

const DIRECTORY: &str = "/data";
const OPTIONS: Options = Options { segment_bytes: 4096, max_batch_bytes: 4096, max_pending_bytes: 1 << 20 };

fn settings(disk: &SimulatedDisk) -> Settings {
    Settings {
        ordinal: 0,
        zone: None,
        version: "test".into(),
        directory: DIRECTORY.into(),
        disk: Arc::new(disk.clone()),
        journal: OPTIONS,
        network: Arc::new(crate::Tcp),
        peer_address: "127.0.0.1:1{ordinal}".into(),
        token: "secret".into(),
        memory_used: Arc::new(|| 0),
        memory_high_water: 1 << 20,
        archiving: None,
        restore_from: None,
        timing: crate::Timing::default(),
    }
}

fn segment(number: u64) -> PathBuf {
    Path::new(DIRECTORY).join(format!("journal/{number:020}.journal"))
}

/// A node of a cluster of so many: votes in three segments, and who it is.
fn node(disk: &SimulatedDisk, nodes: u64) -> Identity {
    let vote = |sequence: u64| JournalRecord { stream: 1, kind: 2, sequence, payload: vec![1; 1300].into() };
    disk.create_directory(Path::new(DIRECTORY)).unwrap();
    let path = Path::new(DIRECTORY).join("journal");
    let journal = Journal::open(Arc::new(disk.clone()), &path, OPTIONS, &mut |_| Ok(())).unwrap();
    for sequence in 0..7 {
        let (done, outcome) = mpsc::channel();
        journal.append(vec![vote(sequence)], move |result| done.send(result).unwrap()).unwrap();
        outcome.recv().unwrap().unwrap();
    }
    journal.close();
    let peers = (1..=nodes).map(|node| (node, node as u32 - 1)).collect();
    let membership = Some(Membership { cluster_id: "c".into(), node: 1, peers });
    let identity = Identity { uuid: "old".into(), run: 3, membership };
    IdentityFile::new(Arc::new(disk.clone()), Path::new(DIRECTORY)).write(&identity).unwrap();
    for directory in [DIRECTORY, "/data/journal"] {
        disk.sync_directory(Path::new(directory)).unwrap();
    }
    identity
}

fn record(disk: &SimulatedDisk) -> Option<Record> {
    Record::read(disk, Path::new(DIRECTORY)).unwrap()
}

#[test]
fn damaged_data_is_set_aside_whole_wherever_the_power_fails() {
    for operation in 1.. {
        let disk = SimulatedDisk::new(operation);
        node(&disk, 3);
        assert!(disk.flip_bit(&segment(3), 100, 1));
        disk.lose_power_at(operation);
        let survived = open(&settings(&disk)).is_ok();
        let disk = disk.power_loss();
        let opened = open(&settings(&disk)).unwrap();
        assert!(opened.store.is_empty(), "{operation}");
        assert_ne!(opened.identity.uuid, "old");
        assert_eq!(opened.identity.membership, None);
        let damage = opened.damage.unwrap();
        assert_eq!((&*damage.file, damage.state), ("journal/00000000000000000003.journal", State::SetAside));
        drop(opened.store);
        // All of the old one is there, with its damage, and nothing else is damaged.
        let [set] = &damage.sets[..] else { panic!("{:?}", damage.sets) };
        let disk_of_all: Arc<dyn Disk> = Arc::new(disk.clone());
        let report = verify(&disk_of_all, &Path::new(DIRECTORY).join(set)).unwrap();
        assert_eq!(report.problems.len(), 1, "{operation}: {:?}", report.problems);
        assert_eq!(report.files.len(), 3 + 2, "{operation}: {:?}", report.files);
        let report = verify(&disk_of_all, Path::new(DIRECTORY)).unwrap();
        assert!(report.problems.is_empty(), "{operation}: {:?}", report.problems);
        if survived {
            break;
        }
    }
}

#[test]
fn a_node_that_is_alone_does_not_start_with_damage_and_nothing_is_changed() {
    let disk = SimulatedDisk::new(1);
    node(&disk, 1);
    assert!(disk.flip_bit(&segment(3), 100, 1));
    let before = disk.list(Path::new("/data/journal")).unwrap();
    let refused = open(&settings(&disk)).map(|_| ()).unwrap_err();
    assert!(matches!(&refused, StartError::Damaged { offset: 64, .. }), "{refused}");
    let told = refused.to_string();
    assert!(told.contains("journal/00000000000000000003.journal") && told.contains("ferrymq ctl journal verify /data"));
    assert_eq!((record(&disk), disk.list(Path::new("/data/journal")).unwrap()), (None, before));
    assert!(disk.flip_bit(&segment(3), 100, 1));
    assert_eq!(open(&settings(&disk)).unwrap().identity.uuid, "old");
}

#[test]
fn no_bit_of_who_a_node_is_flips_unseen() {
    let disk = SimulatedDisk::new(1);
    let identity = node(&disk, 3);
    let file = IdentityFile::new(Arc::new(disk.clone()), Path::new(DIRECTORY));
    let path = Path::new(DIRECTORY).join("node.json");
    let bytes = ferrymq_journal::atomic_file::read(&disk, &path).unwrap();
    for bit in 0..bytes.len() * 8 {
        disk.flip_bit(&path, bit as u64 / 8, (bit % 8) as u8);
        match file.check() {
            Ok(read) => assert_eq!(read, Some(identity.clone()), "bit {bit}"),
            Err(error) => assert!(error.damage().is_some(), "bit {bit}: {error}"),
        }
        disk.flip_bit(&path, bit as u64 / 8, (bit % 8) as u8);
    }
}

#[test]
fn a_node_whose_identity_is_damaged_or_gone_is_a_new_one_and_keeps_nothing() {
    for lose in
        [(|disk, path| assert!(SimulatedDisk::cut_file(disk, path, 20))) as fn(&SimulatedDisk, &Path), |disk, path| {
            disk.remove(path).unwrap()
        }]
    {
        let disk = SimulatedDisk::new(1);
        node(&disk, 3);
        lose(&disk, &Path::new(DIRECTORY).join("node.json"));
        let opened = open(&settings(&disk)).unwrap();
        assert_ne!(opened.identity.uuid, "old");
        assert!(opened.store.is_empty());
        assert_eq!(opened.damage.unwrap().file, "node.json");
    }
    // Nothing says that there are others.
    let disk = SimulatedDisk::new(1);
    node(&disk, 3);
    for name in ["node.json", "node.copy.json"] {
        disk.remove(&Path::new(DIRECTORY).join(name)).unwrap();
    }
    assert!(matches!(open(&settings(&disk)).map(|_| ()), Err(StartError::Damaged { .. })));
}

#[test]
fn a_node_whose_journal_is_gone_is_a_new_one_and_gives_no_vote_again() {
    for nodes in [3, 1] {
        let disk = SimulatedDisk::new(1);
        node(&disk, nodes);
        for name in disk.list(Path::new("/data/journal")).unwrap() {
            disk.remove(&Path::new("/data/journal").join(name)).unwrap();
        }
        let whole: Arc<dyn Disk> = Arc::new(disk.clone());
        let report = verify(&whole, Path::new(DIRECTORY)).unwrap();
        assert!(matches!(&report.problems[..], [problem] if problem.path == Path::new("/data/journal")));
        // The first start leaves nothing that a second one takes for a journal.
        for _ in 0..2 {
            match open(&settings(&disk)) {
                Ok(opened) => assert!(nodes == 3 && opened.identity.uuid != "old"),
                Err(error) => assert!(nodes == 1 && matches!(error, StartError::Damaged { .. }), "{error}"),
            }
        }
    }
}

#[test]
fn looking_tells_an_index_that_a_start_mends_from_what_is_lost() {
    let disk = SimulatedDisk::new(1);
    node(&disk, 1);
    let whole: Arc<dyn Disk> = Arc::new(disk.clone());
    let path = Path::new(DIRECTORY).join("journal");
    let journal = Journal::open(whole.clone(), &path, OPTIONS, &mut |_| Ok(())).unwrap();
    journal.write_indexes().unwrap();
    journal.close();
    let told = |mended: &[bool]| {
        let report = verify(&whole, Path::new(DIRECTORY)).unwrap();
        assert_eq!(report.problems.iter().map(|problem| problem.mended_by_start).collect::<Vec<_>>(), mended);
    };
    told(&[]);
    assert!(disk.flip_bit(&segment(1).with_extension("index"), 70, 1));
    told(&[true]);
    disk.remove(&Path::new(DIRECTORY).join("node.json")).unwrap();
    told(&[true, false]);
}

#[test]
fn damage_that_was_found_while_running_decides_at_the_next_start() {
    let noted = |disk: &SimulatedDisk| {
        let damage = ferrymq_replication::Damage { path: segment(1), offset: 64, problem: "damaged".into() };
        Record::found(Path::new(DIRECTORY), &damage, None).write(disk, Path::new(DIRECTORY)).unwrap();
    };
    let disk = SimulatedDisk::new(1);
    node(&disk, 3);
    noted(&disk);
    assert_ne!(open(&settings(&disk)).unwrap().identity.uuid, "old");
    // One that is alone looks whether it is still so.
    let disk = SimulatedDisk::new(1);
    node(&disk, 1);
    assert!(disk.flip_bit(&segment(1), 200, 1));
    noted(&disk);
    assert!(matches!(open(&settings(&disk)).map(|_| ()), Err(StartError::Damaged { .. })));
    assert!(disk.flip_bit(&segment(1), 200, 1));
    assert_eq!(open(&settings(&disk)).unwrap().identity.uuid, "old");
}

#[test]
fn when_a_node_is_in_sync_again_the_newest_set_stays_and_the_others_go() {
    let disk = SimulatedDisk::new(1);
    let directory = Directory { disk: Arc::new(disk.clone()), path: DIRECTORY.into() };
    let mut sets = Vec::new();
    for round in 1..=3 {
        node(&disk, 3);
        assert!(disk.flip_bit(&segment(1), 100, 1));
        let opened = open(&settings(&disk)).unwrap();
        sets = opened.damage.unwrap().sets;
        assert_eq!(sets.len(), round);
        let told = record(&disk).unwrap().told();
        assert!(told.contains(&sets[round - 1]) && told.contains("being filled by the others"), "{told}");
    }
    directory.heal(record(&disk).unwrap()).unwrap();
    for (set, is_there) in sets.iter().zip([false, false, true]) {
        assert_eq!(disk.list(&Path::new(DIRECTORY).join(set).join("journal")).is_ok(), is_there);
    }
    let healed = record(&disk).unwrap();
    assert_eq!((healed.state, healed.sets), (State::Healed, sets[2..].to_vec()));
    assert!(open(&settings(&disk)).unwrap().damage.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_until_another_process_has_ended() {
    let disk = SimulatedDisk::new(1);
    node(&disk, 3);
    let path = Path::new(DIRECTORY).join("journal");
    let other = Journal::open(Arc::new(disk.clone()), &path, OPTIONS, &mut |_| Ok(())).unwrap();
    let settings = settings(&disk);
    let mut opening = Box::pin(open_when_free(&settings));
    assert!(tokio::time::timeout(Duration::from_secs(30), &mut opening).await.is_err(), "it is in use");
    other.close();
    assert_eq!(opening.await.unwrap().identity.uuid, "old");

    let _other = Journal::open(Arc::new(disk.clone()), &path, OPTIONS, &mut |_| Ok(())).unwrap();
    let refused = open_when_free(&settings).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::Store(error) if error.is_in_use()), "not for ever");
}
