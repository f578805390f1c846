//! Any bytes, read as frames and as what is in them. What can be read is written again and read as the same.

#![no_main]

use bytes::BytesMut;
use ferrymq_amqp::codec::{ContentHeader, FrameKind, Method, scan_properties, take_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut input = BytesMut::from(input);
    while let Ok(Some(frame)) = take_frame(&mut input, 131_072) {
        match frame.kind {
            FrameKind::Method => {
                let Ok(method) = Method::decode(&frame.payload) else { continue };
                let mut again = BytesMut::new();
                method.encode(&mut again);
                let again = Method::decode(&again.freeze()).expect("what was written is read");
                // As text, for a float may be no number.
                assert_eq!(format!("{again:?}"), format!("{method:?}"));
            }
            FrameKind::Header => {
                if let Ok(header) = ContentHeader::decode(&frame.payload) {
                    let _ = scan_properties(&header.properties);
                }
            }
            FrameKind::Body | FrameKind::Heartbeat => {}
        }
    }
});
