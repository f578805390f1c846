//! The certificate of dev's listeners, and the authority that signed it: made in the data directory, and kept there.

use std::{collections::BTreeSet, fs, io, path::PathBuf, time::SystemTime};

use ferrymq_api::{CertificateSource, Cluster, Lives};
use ferrymq_tls::{
    Authority, AuthorityError, CA_FILE, CERTIFICATE_FILE, Certificate, Files, Identity, KEY_FILE, Usage,
};

use super::place::{Place, PlaceError};

/// The folder of the certificate.
const FOLDER: &str = "tls";
/// The key of the authority.
const AUTHORITY_KEY: &str = "ca.key";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Its files cannot be read or written.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// It cannot be made. What that came from is part of the sentence.
    #[error("a certificate for the listeners with TLS cannot be made: {0}")]
    Make(AuthorityError),
}

/// The certificate of a cluster's listeners.
pub(super) struct ListenerCertificate {
    /// The directory that it is in.
    pub(super) directory: PathBuf,
    /// Whom clients are to trust.
    pub(super) authority: PathBuf,
}

/// The certificate of a cluster's listeners, made where it is not there, not for the right names, or about to expire; none
/// where no listener speaks TLS. Whatever the mode in the file: there are no Secrets here.
pub(super) fn certificate(place: &Place, cluster: &Cluster) -> Result<Option<ListenerCertificate>, CertificateError> {
    let Some(tls) = &cluster.tls else { return Ok(None) };
    let lives = match &tls.source {
        CertificateSource::Generated(lives) => *lives,
        CertificateSource::Secret(_) | CertificateSource::CertManager { .. } => Lives::default(),
    };
    let mut names = tls.names.clone();
    names.extend(["localhost", "127.0.0.1"].map(str::to_owned));
    let directory = place.path(FOLDER);
    let made = ListenerCertificate { authority: directory.join(CA_FILE), directory };
    let now = SystemTime::now();
    if is_good(&made.directory, &names, now) {
        return Ok(Some(made));
    }
    let authority = authority(place, lives, now)?;
    let names: Vec<String> = names.into_iter().collect();
    let issued = authority.issue(&names, Usage::Server, now, lives.certificate).map_err(CertificateError::Make)?;
    place.write_text(FOLDER, KEY_FILE, &issued.key)?;
    place.write_text(FOLDER, CERTIFICATE_FILE, &issued.certificate)?;
    Ok(Some(made))
}

fn is_good(directory: &std::path::Path, names: &BTreeSet<String>, now: SystemTime) -> bool {
    let Ok(files) = Files::read(directory) else { return false };
    let authority = files.authorities.as_deref().and_then(Certificate::read_pem);
    let Ok(Identity { certificate, .. }) = Identity::check(&files, now) else { return false };
    let signed = authority.is_some_and(|authority| certificate.is_from(&authority));
    signed && certificate.names == *names && now < certificate.renewal()
}

/// The authority from before, while it is good for long enough; else a new one.
fn authority(place: &Place, lives: Lives, now: SystemTime) -> Result<Authority, CertificateError> {
    let read = |file: &str| {
        let path = place.path(FOLDER).join(file);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PlaceError::File { what: "read", path, source }),
        }
    };
    let before = match (read(CA_FILE)?, read(AUTHORITY_KEY)?) {
        (Some(certificate), Some(key)) => Authority::read(&certificate, &key).ok(),
        _ => None,
    };
    if let Some(before) = before.filter(|before| now < before.certificate.renewal()) {
        return Ok(before);
    }
    let made = Authority::make("ferrymq dev", now, lives.authority).map_err(CertificateError::Make)?;
    place.write_text(FOLDER, AUTHORITY_KEY, &made.pem().key)?;
    place.write_text(FOLDER, CA_FILE, &made.pem().certificate)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::{super::desired::cluster, *};

    #[test]
    fn a_certificate_is_made_once_and_anew_for_other_names_by_the_same_authority() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::take(folder.path(), "orders").unwrap();
        assert!(certificate(&place, &cluster("")).unwrap().is_none());
        let read = |file: &str| fs::read_to_string(place.path(FOLDER).join(file)).unwrap();
        let made = certificate(&place, &cluster(", tls: {}")).unwrap().unwrap();
        let (first, authority) = (read(CERTIFICATE_FILE), read(CA_FILE));
        assert_eq!(fs::read_to_string(made.authority).unwrap(), authority);
        certificate(&place, &cluster(", tls: {}")).unwrap();
        assert_eq!(read(CERTIFICATE_FILE), first);
        certificate(&place, &cluster(", tls: {names: [mq.test]}")).unwrap();
        assert_ne!(read(CERTIFICATE_FILE), first);
        assert_eq!(read(CA_FILE), authority);
        let files = Files::read(&made.directory).unwrap();
        assert!(Identity::check(&files, SystemTime::now()).unwrap().certificate.names.contains("mq.test"));
    }
}
