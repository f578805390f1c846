//! Files as one compressed archive.

use std::io;

use flate2::{Compression, write::GzEncoder};
use tar::{Builder, Header};

use super::Entry;

/// The files, under one folder, as the bytes of a `.tar.gz`.
pub(super) fn archive(folder: &str, entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for entry in entries {
        let mut header = Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(entry.text.len() as u64);
        builder.append_data(&mut header, format!("{folder}/{}", entry.path), entry.text.as_bytes())?;
    }
    builder.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use tar::Archive;

    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let entries = [Entry::new("logs/orders-0.log", "started\n"), Entry::new("events.json", "[]")];
        let bytes = archive("orders-support", &entries).unwrap();
        let mut archive = Archive::new(GzDecoder::new(bytes.as_slice()));
        let files = archive.entries().unwrap().map(|file| {
            let mut file = file.unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            (file.path().unwrap().display().to_string(), text)
        });
        let expected = [("orders-support/logs/orders-0.log", "started\n"), ("orders-support/events.json", "[]")];
        assert_eq!(files.collect::<Vec<_>>(), expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    }
}
