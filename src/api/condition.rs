//! Every type of condition, and every reason: each is declared here, once, with the sentence that documents it.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// Declares words that go into a status, each with the sentence that documents it.
macro_rules! words {
    ($(#[$doc:meta])* $kind:ident { $($name:ident: $sentence:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $kind {
            $(#[doc = $sentence] $name,)+
        }

        impl $kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word, as it stands in a status.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// The sentence that documents it.
            #[must_use]
            pub fn documentation(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)+
                }
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What a condition speaks of. True is good, but for `Reconciling` and `Stalled`, which are kstatus' and are true
    /// while something is to be done.
    ConditionType {
        Ready: "All that the spec asks for is there and serves clients.",
        Reconciling: "The operator is on its way to what the spec asks for.",
        Stalled: "The operator cannot get there by itself: a person has to change something.",
        ReplicationHealthy: "Every shard has a leader, and all of its mirrors are in sync.",
        ScaleComplete: "There are as many brokers as the spec asks for, and all of them belong to the cluster.",
        StorageReady: "Every broker has its volume.",
        UpdateComplete: "Every broker runs what the spec asks for.",
        CertificatesValid: "Every certificate that the brokers serve with is good, and renewed in time.",
        ListenersExposed: "Every listener that is to be reached from outside has its addresses.",
        InSync: "What the broker has is what the spec asks for.",
        BackupHealthy: "The last backup is there, and is not older than the schedule lets it be.",
        RestoreVerified: "A backup was restored to see whether it can be, and what was made of it is what was backed up.",
        ContinuousArchiving: "What the brokers confirm is archived within seconds, without a gap.",
        Complete: "The backup is in the archive, with all that it takes to restore it.",
        Replicated: "Every queue has a leader, and all of its mirrors are in sync.",
    }
}

words! {
    /// Why a condition is what it is.
    Reason {
        AllServing: "All that is to serve does, in sync.",
        Progressing: "Something that was begun goes on by itself.",
        Settled: "There is nothing to do.",
        Paused: "spec.paused is true: the operator changes nothing.",
        NothingInTheWay: "Nothing keeps the operator from what is to be done.",
        Invalid: "The spec cannot be; the message says which field, and why.",
        NameTaken: "An object that the cluster needs belongs to somebody else.",
        Refused: "The API server refused an object that the cluster needs.",
        AdmissionDenied: "A policy of admission denied an object that the cluster needs; the message says which policy.",
        QuotaExceeded: "A quota of the namespace does not allow an object that the cluster needs.",
        RightsMissing: "The operator may not read or write an object that the cluster needs.",
        WriteConflicts: "Somebody else writes an object of the cluster at the same time, again and again.",
        Overwritten: "Somebody changes an object of the cluster back each time that the operator writes it.",
        ApiServerTroubled: "The API server does not answer, or not as it should; it is tried again.",
        BeingDeleted: "An object that the cluster needs is being deleted; it is made again when it is gone.",
        WaitingForBrokers: "Brokers start, and do not answer yet.",
        Forming: "The brokers answer, and are being made one cluster.",
        FormationRefused: "A broker refused to form the cluster.",
        DataLost: "A cluster was formed once, and no broker has its data any more.",
        ForeignCluster: "Brokers belong to different clusters.",
        ReplicasBehind: "Brokers are missing or catch up; every shard has a leader.",
        ShardsWithoutLeader: "Shards have lost the majority of their mirrors, and serve nobody until one is back.",
        ClusterUnreachable: "No broker answers the operator.",
        ImageUnavailable: "A broker's image cannot be pulled.",
        CrashLooping: "A broker stops again and again.",
        ContainerRefused: "A broker's container cannot be made.",
        Unschedulable: "No machine takes a broker's pod.",
        PodsRefused: "The API server refuses to make a broker's pod: a quota, or a policy.",
        VolumesBound: "Every volume is bound.",
        VolumeNotBound: "A volume is not bound.",
        VolumesGrowing: "Volumes get the size that the spec asks for; brokers run on.",
        VolumesShrinking: "Volumes are replaced by smaller ones, one after the other, and brokers are filled again.",
        VolumeShrinkRefused: "What brokers have on their disks would not fit on smaller volumes.",
        VolumeFills: "A volume is nearly full; when it is full publishers are held back.",
        VolumeGrowthRefused: "A volume cannot get the size that the spec asks for; its class must allow volumes to grow.",
        VolumeLost: "A volume is gone whose claim is still there.",
        VolumeGoing: "Somebody deleted a volume claim; it goes when its broker stops, which comes back empty and is filled again.",
        TokenUnknown: "Brokers do not know the token by which the operator speaks to them.",
        MachineUnreachable: "A broker's machine does not answer; whether the broker still runs there cannot be told.",
        MachineGone: "A broker's machine is gone, and its volume with it.",
        ScalingUp: "Brokers that were added have not all joined.",
        ScalingDown: "Brokers that are to go are emptied first, then leave the cluster, then stop.",
        ScaleDownRefused: "Fewer brokers were asked for than queues have mirrors.",
        ScaledToZero: "No broker runs, as replicas is 0; the volumes keep what they hold.",
        AllRunning: "There are as many brokers as the spec asks for.",
        AllUpdated: "Every broker runs what the spec asks for.",
        RestartingBrokers: "Brokers are restarted one after the other.",
        RestartWaits: "A broker waits to be restarted until that endangers no message.",
        ApprovalAwaited: "Restarts wait until somebody approves the plan in the status.",
        WindowAwaited: "Restarts wait for the next maintenance window.",
        UpdateStopped: "A broker did not come back from its restart; no other one is restarted.",
        UpgradeWaits: "The operator brings a newer image, and leaves running brokers on theirs until the spec names it, or somebody approves the plan.",
        MirrorsFixed: "The default number of mirrors is the one that the cluster was formed with.",
        CertificatesCurrent: "Every certificate is good; the message says when the next one is renewed.",
        CertificateSecretMissing: "The Secret that spec.tls names is not there.",
        CertificateInvalid: "What is in a certificate's Secret cannot be used; the message says which, and why.",
        CertificateExpired: "A certificate has expired.",
        CertificateNotIssued: "cert-manager has not issued the certificate yet, or is not there.",
        AddressesAssigned: "Every Service of an exposed listener has an address.",
        AddressesPending: "A Service of an exposed listener has no address yet: whoever makes load balancers has to give it one.",
        Declared: "The broker has what the spec asks for.",
        ClusterNotFound: "There is no MessageQueue of that name in the namespace.",
        ClusterNotReady: "The cluster does not answer yet, or has no leader.",
        ClusterGoing: "The cluster is being deleted.",
        MirrorsWouldNotFit: "More mirrors are asked for than the cluster has brokers.",
        TopicConflict: "Another Topic has that name already.",
        Incompatible: "The broker has something of that name that is not what the spec asks for.",
        Drifted: "Somebody changed the topic by a protocol; it is being mended.",
        UserConflict: "Another User, or the cluster itself, has a user of that name already.",
        PasswordMissing: "There is no password where the spec says that there is one.",
        VirtualHostNotFound: "There is no virtual host of that name in the cluster.",
        Archived: "What was confirmed is in the archive, or will be in a moment.",
        ArchiveUnreachable: "The archive takes nothing; the message says why. What is not archived is kept on the volumes, up to a quarter of them.",
        ArchiveBehind: "What was confirmed waits to be archived.",
        ArchiveGap: "Something was never archived, as the archive was out of reach for too long: no restore leads to a time in that gap. The next backup that is completed ends it.",
        NoBackup: "There is no backup yet.",
        BackupCompleted: "The last backup is in the archive.",
        BackupFailed: "The last backup was given up; the message says why.",
        BackupOverdue: "There is no backup as young as the schedule asks for.",
        Verified: "A backup was restored, and what was made of it is what was backed up.",
        NotVerified: "No backup was restored yet to see whether it can be.",
        NotRestorable: "A backup could not be restored, or not as it was; the message says why.",
        VerificationOverdue: "No backup was restored since the schedule asked for it.",
        NotArchived: "The cluster has no spec.backup.",
        BackupNameTaken: "The archive has another backup of that name.",
        Restoring: "The cluster is being made of what is in the archive.",
        RestoreRefused: "What is in the archive makes no cluster, or something of it is missing or damaged; the message names it.",
        NotEmpty: "Its queues have messages, and the deletion policy keeps these.",
        UnderReplicated: "Some of the mirrors are missing or catch up.",
        AllMirrored: "Every queue has a leader and all of its mirrors.",
        NothingToMirror: "There are no queues.",
        Unknown: "It cannot be told just now.",
    }
}

/// A condition. Its time of transition is taken over from `before` where its status is the same.
#[must_use]
pub fn condition(
    before: &[Condition],
    kind: ConditionType,
    status: Option<bool>,
    reason: Reason,
    message: impl Into<String>,
    generation: Option<i64>,
) -> Condition {
    let status = match status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let same = before.iter().find(|old| old.type_ == kind.as_str() && old.status == status);
    Condition {
        type_: kind.as_str().to_owned(),
        status: status.to_owned(),
        reason: reason.as_str().to_owned(),
        message: clipped(message.into()),
        observed_generation: generation,
        last_transition_time: same
            .map_or_else(|| Time(to_the_second(Timestamp::now())), |old| old.last_transition_time.clone()),
    }
}

/// A time without its fraction of a second: a status' times have none.
#[must_use]
pub fn to_the_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The API bounds a message to 32 KiB; nobody reads as much.
fn clipped(message: String) -> String {
    const MOST: usize = 2_000;
    match message.char_indices().nth(MOST) {
        Some((end, _)) => message.get(..end).map(|start| format!("{start}…")).unwrap_or(message),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let long_ago = Time(Timestamp::from_second(1_000).unwrap());
        let mut old = condition(&[], ConditionType::Ready, Some(true), Reason::AllServing, "", Some(1));
        old.last_transition_time = long_ago.clone();
        let before = [old];
        let same = condition(&before, ConditionType::Ready, Some(true), Reason::AllServing, "still", Some(2));
        assert_eq!(same.last_transition_time, long_ago);
        let other = condition(&before, ConditionType::Ready, Some(false), Reason::ReplicasBehind, "", Some(2));
        assert_ne!(other.last_transition_time, long_ago);
    }

    #[test]
    fn every_word_has_a_sentence() {
        for word in ConditionType::ALL {
            assert!(word.documentation().ends_with('.'), "{word}");
        }
        for word in Reason::ALL {
            assert!(word.documentation().ends_with('.'), "{word}");
        }
    }
}
