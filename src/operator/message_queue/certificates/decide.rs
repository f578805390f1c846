//! What is to be made, from what is there and the time. Pure.

use std::time::{Duration, SystemTime};

use ferrymq_tls::{BACKDATED, Certificate, certificates};

use super::{There, Wanted};

/// How long files take to reach every broker, with room: Kubernetes brings a changed Secret to its pods within about a
/// minute and a half.
pub(crate) const GRACE: Duration = Duration::from_secs(300);

/// What is to be made of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) authority: Next,
    pub(crate) certificate: Next,
    /// Authorities that are trusted besides the one that signs, in the order in which they were found.
    pub(crate) also_trusted: Vec<Certificate>,
    /// When something is made next, if nobody interferes; none where it is now.
    pub(crate) renewal: Option<SystemTime>,
}

/// What becomes of one of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// It stays.
    Keep,
    /// It is made, for the first time or after it was lost.
    Make,
    /// It is made anew: why, as a part of a sentence.
    Renew(&'static str),
}

impl Decision {
    /// Whether something is made.
    pub(crate) fn makes(&self) -> bool {
        self.authority != Next::Keep || self.certificate != Next::Keep
    }
}

pub(crate) fn decide(there: &There, wanted: &Wanted, now: SystemTime) -> Decision {
    let current = there.authority.as_ref().map(|authority| &authority.certificate);
    let authority = match current {
        None => Next::Make,
        Some(current) if current.renewal() <= now => Next::Renew("two thirds of its life are over"),
        Some(_) => Next::Keep,
    };
    // The one that signs from now on, where it is there already.
    let signs = current.filter(|_| authority == Next::Keep);
    let others = others(there, signs, now);
    let certificate = certificate(there, wanted, signs, &others, now);
    let leaf = there.certificate.as_ref().map(|leaf| &leaf.said).filter(|_| certificate == Next::Keep);
    let settled = signs.zip(leaf).is_some_and(|(signs, leaf)| leaf.is_from(signs) && made(leaf) + GRACE <= now);
    let renewal = signs.zip(leaf).map(|(signs, leaf)| {
        let hands_over = made(signs) + GRACE;
        let leaf = if leaf.is_from(signs) { leaf.renewal() } else { hands_over };
        leaf.min(signs.renewal())
    });
    Decision { authority, certificate, also_trusted: if settled { Vec::new() } else { others }, renewal }
}

fn certificate(
    there: &There,
    wanted: &Wanted,
    signs: Option<&Certificate>,
    others: &[Certificate],
    now: SystemTime,
) -> Next {
    let Some(leaf) = there.certificate.as_ref().map(|leaf| &leaf.said) else { return Next::Make };
    if leaf.not_after <= now {
        return Next::Renew("it has expired");
    }
    let signed = signs.filter(|signs| leaf.is_from(signs));
    if signed.is_none() {
        // Nobody would take it.
        if !others.iter().any(|other| leaf.is_from(other)) {
            return Next::Renew("its authority is gone");
        }
        // First every broker must trust the new authority.
        if signs.is_none_or(|signs| now < made(signs) + GRACE) {
            return Next::Keep;
        }
        return Next::Renew("there is a new authority");
    }
    if leaf.names != wanted.names {
        return Next::Renew("it is to be for other names");
    }
    if leaf.renewal() <= now {
        return Next::Renew("two thirds of its life are over");
    }
    Next::Keep
}

/// Authorities that were trusted up to now and are good still, but for the one that signs.
fn others(there: &There, signs: Option<&Certificate>, now: SystemTime) -> Vec<Certificate> {
    let before = there.authority.iter().map(|authority| authority.certificate.clone());
    let all = before.chain(certificates(&there.trusted).into_iter().map(|(certificate, _)| certificate));
    let mut others: Vec<Certificate> = Vec::new();
    for other in all.filter(|other| other.is_authority && other.not_after > now) {
        if signs != Some(&other) && !others.contains(&other) {
            others.push(other);
        }
    }
    others
}

/// When a certificate was made.
fn made(certificate: &Certificate) -> SystemTime {
    certificate.not_before + BACKDATED
}
