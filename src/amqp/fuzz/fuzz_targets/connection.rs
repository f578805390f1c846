//! Any bytes, put into frames and sent to a connection that is open already, with a broker in memory behind it. It must
//! end, and leave no session behind.

#![no_main]

use std::{net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use ferrymq_amqp::{
    Settings,
    codec::{
        ChannelOpen, ConnectionOpen, ConnectionStartOk, ConnectionTuneOk, FRAME_END, Method, PROTOCOL_HEADER,
        put_method,
    },
};
use ferrymq_testkit::FakeBroker;
use libfuzzer_sys::fuzz_target;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};

fn hello() -> BytesMut {
    let mut out = BytesMut::from(&PROTOCOL_HEADER[..]);
    let response = "\0guest\0guest".into();
    let methods: [(u16, Method); 4] = [
        (0, ConnectionStartOk { mechanism: "PLAIN".into(), response, ..Default::default() }.into()),
        (0, ConnectionTuneOk::default().into()),
        (0, ConnectionOpen { virtual_host: "/".into(), ..Default::default() }.into()),
        (1, ChannelOpen::default().into()),
    ];
    for (channel, method) in methods {
        put_method(&mut out, channel, &method);
    }
    out
}

/// Type, channel and size by three bytes, then the payload; again and again.
fn framed(mut input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [kind, channel, size, rest @ ..] = input {
        let (payload, after) = rest.split_at(rest.len().min((*size).into()));
        input = after;
        out.extend([[1, 1, 2, 3][usize::from(kind % 4)], 0, channel % 3, 0, 0, 0]);
        out.push(u8::try_from(payload.len()).expect("at most what a byte said"));
        out.extend(payload);
        out.push(FRAME_END);
    }
    out
}

fuzz_target!(|input: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let broker = FakeBroker::new();
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let (_shutdown, stopped) = watch::channel(false);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let settings = Arc::new(Settings { max_message_bytes: 1 << 20, ..Settings::default() });
        let serving = tokio::spawn(ferrymq_amqp::serve(broker.clone(), server, peer, settings, stopped));
        // A broker that closed the socket takes nothing more.
        let _ = client.write_all(&hello()).await;
        let _ = client.write_all(&framed(input)).await;
        let _ = client.shutdown().await;
        let _ = client.read_to_end(&mut Vec::new()).await;
        serving.await.expect("the connection did not panic");
        assert_eq!(broker.sessions(), 0);
    });
});
