//! Properties of the codec: no input makes it panic or grow, what it writes it reads, and another codec agrees.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use amq_protocol::frame::{AMQPFrame, parse_frame};
use bytes::{Bytes, BytesMut};
use ferrymq_amqp::codec::{
    self, BasicPublish, ConnectionStartOk, ContentHeader, Frame, FrameKind, Method, QueueBind, QueueDeclare, Table,
    Value, method_name, put_body, put_content_header, put_heartbeat, put_method, scan_properties, take_frame,
};
use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

const LIMIT: u32 = 4096;

/// Reads all frames, and all that is in them, as a connection does.
fn read_all(input: &[u8]) -> usize {
    let mut input = BytesMut::from(input);
    let mut frames = 0;
    while let Ok(Some(frame)) = take_frame(&mut input, LIMIT) {
        frames += 1;
        match frame.kind {
            FrameKind::Method => {
                if let Ok(method) = Method::decode(&frame.payload) {
                    let mut again = BytesMut::new();
                    method.encode(&mut again);
                    let again = Method::decode(&again.freeze()).unwrap();
                    // Text, as a float may be no number.
                    assert_eq!(format!("{again:?}"), format!("{method:?}"));
                }
            }
            FrameKind::Header => {
                if let Ok(header) = ContentHeader::decode(&frame.payload) {
                    let _ = scan_properties(&header.properties);
                }
            }
            FrameKind::Body | FrameKind::Heartbeat => {}
        }
    }
    frames
}

fn name() -> impl Strategy<Value = String> {
    "[a-z.é]{0,20}"
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i8>().prop_map(Value::I8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        (-1e9f32..1e9).prop_map(Value::F32),
        (-1e9f64..1e9).prop_map(Value::F64),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| Value::Decimal { scale, value }),
        name().prop_map(|text| Value::from(&*text)),
        vec(any::<u8>(), 0..20).prop_map(|bytes| Value::ByteArray(bytes.into())),
        any::<u64>().prop_map(Value::Timestamp),
        Just(Value::Void),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((name(), inner), 0..4).prop_map(|entries| Value::Table(to_table(entries))),
        ]
    })
}

fn to_table(entries: Vec<(String, Value)>) -> Table {
    Table(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn table() -> impl Strategy<Value = Table> {
    vec((name(), value()), 0..6).prop_map(to_table)
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![
        (name(), any::<[bool; 5]>(), table()).prop_map(|(queue, [a, b, c, d, e], arguments)| {
            let queue = queue.into();
            let flags =
                QueueDeclare { passive: a, durable: b, exclusive: c, auto_delete: d, nowait: e, ..Default::default() };
            QueueDeclare { queue, arguments, ..flags }.into()
        }),
        (name(), name(), name(), any::<bool>(), table()).prop_map(|(queue, exchange, key, nowait, arguments)| {
            let (queue, exchange, routing_key) = (queue.into(), exchange.into(), key.into());
            QueueBind { queue, exchange, routing_key, nowait, arguments, ..Default::default() }.into()
        }),
        (name(), name(), any::<bool>(), any::<bool>()).prop_map(|(exchange, key, mandatory, immediate)| {
            let (exchange, routing_key) = (exchange.into(), key.into());
            BasicPublish { exchange, routing_key, mandatory, immediate, ..Default::default() }.into()
        }),
        (table(), vec(any::<u8>(), 0..40)).prop_map(|(client_properties, response)| {
            let (mechanism, locale) = ("PLAIN".into(), "en_US".into());
            ConnectionStartOk { client_properties, mechanism, response: response.into(), locale }.into()
        }),
    ]
}

/// Some frames, well formed.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        4 => (any::<u16>(), method()).prop_map(|(channel, method)| {
            let mut out = BytesMut::new();
            put_method(&mut out, channel, &method);
            out
        }),
        2 => (any::<u16>(), any::<u64>(), table()).prop_map(|(channel, size, headers)| {
            let mut out = BytesMut::new();
            put_content_header(&mut out, channel, size, &with_headers(&headers));
            out
        }),
        1 => (any::<u16>(), vec(any::<u8>(), 0..100)).prop_map(|(channel, piece)| {
            let mut out = BytesMut::new();
            put_body(&mut out, channel, &piece);
            out
        }),
        1 => Just(()).prop_map(|()| {
            let mut out = BytesMut::new();
            put_heartbeat(&mut out);
            out
        }),
    ];
    vec(frame, 1..4).prop_map(|frames| frames.concat())
}

/// Properties with these headers and nothing else.
fn with_headers(headers: &Table) -> Vec<u8> {
    let mut method = BytesMut::new();
    Method::from(QueueDeclare { arguments: headers.clone(), ..Default::default() }).encode(&mut method);
    // The table is what follows class, method, ticket, empty name and bits.
    [&(1_u16 << 13).to_be_bytes()[..], &method[8..]].concat()
}

fn config(cases: u32) -> Config {
    Config { failure_persistence: None, ..Config::with_cases(cases) }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn what_is_written_is_read(channel: u16, method in method()) {
        let mut out = BytesMut::new();
        put_method(&mut out, channel, &method);
        let frame = take_frame(&mut out, 1 << 20).unwrap().unwrap();
        prop_assert_eq!(frame.channel, channel);
        prop_assert_eq!(Method::decode(&frame.payload).unwrap(), method);
        prop_assert!(out.is_empty());
    }

    #[test]
    fn the_walk_over_properties_and_the_reading_of_tables_agree(table in table(), flip: prop::sample::Index, to: u8) {
        let mut properties = with_headers(&table);
        prop_assert!(scan_properties(&Bytes::from(properties.clone())).is_ok());
        let at = flip.index(properties.len() - 2) + 2;
        properties[at] = to;
        let walked = scan_properties(&Bytes::from(properties.clone())).is_ok();
        let mut method = BytesMut::new();
        Method::from(QueueDeclare::default()).encode(&mut method);
        method.truncate(8);
        method.extend_from_slice(&properties[2..]);
        let read = Method::decode(&method.freeze());
        // Names that are no text are passed on to consumers, and mean nothing in a declaration.
        prop_assert!(walked == read.is_ok() || read == Err(codec::DecodeError::NotText));
    }

    #[test]
    fn another_codec_reads_what_we_write(channel: u16, method in method()) {
        let mut out = BytesMut::new();
        put_method(&mut out, channel, &method);
        let (rest, frame) = parse_frame(&out[..]).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert!(matches!(frame, AMQPFrame::Method(number, _) if number == channel));
    }

    #[test]
    fn another_codec_takes_no_frame_that_we_do_not(frames in frames(), flip: prop::sample::Index, to: u8) {
        let mut bytes = frames;
        let at = flip.index(bytes.len());
        bytes[at] = to;
        let theirs = parse_frame(&bytes[..]);
        let ours = take_frame(&mut BytesMut::from(&bytes[..]), LIMIT);
        if let (Ok((_, AMQPFrame::Method(number, class))), Ok(Some(frame))) = (theirs, ours) {
            prop_assert_eq!(frame.channel, number);
            let decoded = Method::decode(&frame.payload);
            // It passes over what follows the last field, and takes a short string for any bytes; we do neither.
            let stricter = matches!(decoded, Err(codec::DecodeError::Trailing(_) | codec::DecodeError::NotText));
            prop_assert!(stricter || decoded.is_ok(), "{:?} read as {:?}", decoded, class);
        }
    }
}

/// A hundred rounds of ten thousand: half of them random bytes, half of them good frames with some bytes changed.
#[test]
fn a_million_random_and_mutated_inputs_do_no_harm() {
    let mut runner = TestRunner::new_with_rng(config(1), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let strategy = frames();
    let mut read = 0;
    for _ in 0..5_000 {
        let good = strategy.new_tree(&mut runner).unwrap().current();
        read += read_all(&good);
        let rng = runner.rng();
        for round in 0..200 {
            if round % 2 == 0 {
                let mut bytes = good.clone();
                for _ in 0..1 + rng.random_range(0..4) {
                    let at = rng.random_range(0..bytes.len());
                    bytes[at] =
                        if rng.random_bool(0.5) { rng.random() } else { bytes[at] ^ (1 << rng.random_range(0..8)) };
                }
                if rng.random_bool(0.2) {
                    bytes.truncate(rng.random_range(0..bytes.len()));
                }
                read += read_all(&bytes);
            } else {
                read += read_all(&random_frame(rng));
            }
        }
    }
    assert!(read > 1_000_000, "only {read} frames were whole");
}

/// A frame that is one from without: random inside, often of a method that there is.
fn random_frame(rng: &mut TestRng) -> Vec<u8> {
    let mut payload = vec![0; rng.random_range(4..80)];
    rng.fill_bytes(&mut payload);
    let numbers = (rng.random_range(1..10_u16) * 10, rng.random_range(1..13_u16) * 10 + rng.random_range(0..2));
    if method_name(numbers.0, numbers.1).is_some() || rng.random_bool(0.1) {
        payload[..2].copy_from_slice(&numbers.0.to_be_bytes());
        payload[2..4].copy_from_slice(&numbers.1.to_be_bytes());
    }
    // Small numbers are likelier to be lengths that fit.
    for byte in &mut payload[4..] {
        if rng.random_bool(0.7) {
            *byte %= 8;
        }
    }
    let kind = [1, 2, 3, 8][rng.random_range(0..4)];
    let mut frame = vec![kind, 0, 1, 0, 0, 0, u8::try_from(payload.len()).unwrap()];
    frame.extend(payload);
    frame.push(codec::FRAME_END);
    frame
}

#[test]
fn a_frame_is_waited_for_and_one_that_is_too_large_is_not() {
    let mut out = BytesMut::new();
    put_body(&mut out, 7, b"body");
    for cut in 0..out.len() {
        assert_eq!(take_frame(&mut BytesMut::from(&out[..cut]), LIMIT), Ok(None));
    }
    let frame = Frame { kind: FrameKind::Body, channel: 7, payload: Bytes::from_static(b"body") };
    assert_eq!(take_frame(&mut out.clone(), LIMIT), Ok(Some(frame)));
    let mut large = BytesMut::from(&b"\x03\x00\x07\xff\xff\xff\xff"[..]);
    assert!(take_frame(&mut large, LIMIT).is_err());
}

#[test]
fn a_deep_table_costs_no_stack() {
    let mut entries: Vec<u8> = Vec::new();
    for _ in 0..20_000 {
        let mut outer = vec![0, b'F'];
        outer.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
        outer.extend(&entries);
        entries = outer;
        if entries.len() > 100_000 {
            break;
        }
    }
    let mut method = BytesMut::new();
    Method::from(QueueDeclare::default()).encode(&mut method);
    method.truncate(8);
    method.extend_from_slice(&u32::try_from(entries.len()).unwrap().to_be_bytes());
    method.extend_from_slice(&entries);
    assert_eq!(Method::decode(&method.freeze()), Err(codec::DecodeError::TooDeep));
}
