//! From a client's first byte to its open virtual host: section 2.2.4.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use ferrymq_core::{
    Broker, Credentials, EventReceiver, Identity, Kind, Login, LoginRefused, Refusal, VirtualHostName, events,
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    Settings,
    codec::{
        ConnectionOpenOk, ConnectionStart, ConnectionStartOk, ConnectionTune, ConnectionTuneOk, FrameKind,
        MINIMUM_FRAME_BYTES, Method, PROTOCOL_HEADER, Table, Value,
    },
    credentials,
    fault::{Code, Exception, Stop},
    link::Peer,
    wire::Wire,
};

/// What a client is when it was let in.
pub(crate) struct Opened<S> {
    pub(crate) session: S,
    pub(crate) events: EventReceiver,
    pub(crate) peer: Peer,
}

pub(crate) async fn run<B: Broker, T: AsyncRead + AsyncWrite + Unpin>(
    broker: &B,
    wire: &mut Wire<T>,
    address: SocketAddr,
    settings: &Settings,
) -> Result<Opened<B::Session>, Stop> {
    greet(wire).await?;
    let start = ConnectionStart {
        version_major: 0,
        version_minor: 9,
        server_properties: server_properties(settings),
        mechanisms: Bytes::from_static(b"PLAIN AMQPLAIN"),
        locales: Bytes::from_static(b"en_US"),
    };
    wire.output.method(0, start);
    let start_ok = match read_method(wire).await? {
        Method::ConnectionStartOk(start_ok) => start_ok,
        other => return Err(unexpected(&other, "connection.start-ok")),
    };
    let identity = log_in(broker, address, &start_ok).await?;

    let heartbeat = u16::try_from(settings.heartbeat.as_secs()).unwrap_or(u16::MAX);
    let (channel_max, frame_max) = (settings.channel_max, settings.frame_max.max(MINIMUM_FRAME_BYTES));
    wire.output.method(0, ConnectionTune { channel_max, frame_max, heartbeat });
    let tuned = match read_method(wire).await? {
        Method::ConnectionTuneOk(tune_ok) => tune(&tune_ok, channel_max, frame_max)?,
        other => return Err(unexpected(&other, "connection.tune-ok")),
    };

    let virtual_host = match read_method(wire).await? {
        Method::ConnectionOpen(open) => open.virtual_host,
        other => return Err(unexpected(&other, "connection.open")),
    };
    let name = VirtualHostName::new(virtual_host.clone()).map_err(Exception::from)?;
    let (sender, events) = events();
    let session = broker.open(&identity, name, sender).await.map_err(|refusal| not_opened(refusal, &identity))?;
    wire.output.method(0, ConnectionOpenOk::default());
    wire.flush().await?;
    let client = &start_ok.client_properties;
    let peer = Peer {
        user: Arc::clone(&identity.user),
        virtual_host: virtual_host.to_string(),
        frame_max: tuned.frame_max,
        channel_max: tuned.channel_max,
        heartbeat: tuned.heartbeat,
        consumer_cancel_notify: is_capable(client, "consumer_cancel_notify"),
        blocked: is_capable(client, "connection.blocked"),
    };
    Ok(Opened { session, events, peer })
}

/// The protocol's name and version. Another hello is answered with ours as soon as it differs.
async fn greet<T: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<T>) -> Result<(), Stop> {
    loop {
        let input = wire.input();
        let count = input.len().min(PROTOCOL_HEADER.len());
        if input[..count] != PROTOCOL_HEADER[..count] {
            wire.output.tail().extend_from_slice(&PROTOCOL_HEADER);
            wire.flush().await?;
            return Err(Stop::Unwelcome);
        }
        if count == PROTOCOL_HEADER.len() {
            input.advance(count);
            return Ok(());
        }
        wire.read().await?;
    }
}

/// The next method on channel 0, after all that is to be written.
async fn read_method<T: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<T>) -> Result<Method, Stop> {
    wire.flush().await?;
    loop {
        let frame = wire.read_frame(MINIMUM_FRAME_BYTES).await?;
        match (frame.kind, frame.channel) {
            (FrameKind::Heartbeat, 0) => {}
            (FrameKind::Method, 0) => match Method::decode(&frame.payload)? {
                Method::ConnectionClose(_) => return Err(Stop::ClosedByClient),
                method => return Ok(method),
            },
            (kind, channel) => {
                let sentence = format!("a {kind:?} frame on channel {channel} before the connection is open");
                return Err(Exception::new(Code::UnexpectedFrame, sentence).into());
            }
        }
    }
}

fn unexpected(method: &Method, expected: &str) -> Stop {
    let sentence = format!("expected '{expected}', got '{}'", method.name());
    Exception::new(Code::CommandInvalid, sentence).at(method.numbers()).into()
}

async fn log_in<B: Broker>(broker: &B, address: SocketAddr, start_ok: &ConnectionStartOk) -> Result<Identity, Stop> {
    const START_OK: (u16, u16) = (10, 11);
    let mechanism = &start_ok.mechanism;
    let credentials: Credentials = credentials::read(mechanism, &start_ok.response)?;
    let address = address.ip();
    let refused = match broker.authenticate(Login { credentials, address }).await {
        Ok(identity) => return Ok(identity),
        Err(refused) => refused,
    };
    if let LoginRefused::Unavailable { .. } = &refused {
        return Err(Exception::new(Code::ConnectionForced, refused.to_string()).into());
    }
    tracing::warn!(%address, %mechanism, "login refused: {refused}");
    if !is_capable(&start_ok.client_properties, "authentication_failure_close") {
        return Err(Stop::Unwelcome);
    }
    let sentence =
        format!("Login was refused using authentication mechanism {mechanism}. For details see the broker logfile.");
    Err(Exception::new(Code::AccessRefused, sentence).at(START_OK).into())
}

struct Tuned {
    channel_max: u16,
    frame_max: u32,
    heartbeat: Option<Duration>,
}

/// A client may lower what it was offered; 0 takes the offer as it is.
fn tune(wanted: &ConnectionTuneOk, channel_max: u16, frame_max: u32) -> Result<Tuned, Exception> {
    let not_allowed = |what: &str, wanted: u32, side: &str, bound: &str, limit: u32| {
        let sentence = format!("negotiated {what} = {wanted} is {side} than the {bound} allowed value ({limit})");
        Err(Exception::new(Code::NotAllowed, sentence).at((10, 31)))
    };
    if wanted.channel_max > channel_max {
        return not_allowed("channel_max", wanted.channel_max.into(), "higher", "maximum", channel_max.into());
    }
    if wanted.frame_max > frame_max {
        return not_allowed("frame_max", wanted.frame_max, "higher", "maximum", frame_max);
    }
    if wanted.frame_max != 0 && wanted.frame_max < MINIMUM_FRAME_BYTES {
        return not_allowed("frame_max", wanted.frame_max, "lower", "minimum", MINIMUM_FRAME_BYTES);
    }
    Ok(Tuned {
        channel_max: if wanted.channel_max == 0 { channel_max } else { wanted.channel_max },
        frame_max: if wanted.frame_max == 0 { frame_max } else { wanted.frame_max },
        heartbeat: (wanted.heartbeat > 0).then(|| Duration::from_secs(wanted.heartbeat.into())),
    })
}

fn not_opened(refusal: Refusal, identity: &Identity) -> Exception {
    const OPEN: (u16, u16) = (10, 40);
    let exception = match refusal {
        Refusal::Forbidden { reason } => Exception::new(Code::NotAllowed, reason),
        Refusal::NotFound { kind: Kind::VirtualHost, .. } => refusal.into(),
        Refusal::Unavailable { reason } => Exception::new(Code::ConnectionForced, reason),
        other => other.into(),
    };
    tracing::info!(user = %identity.user, "connection not opened: {}", exception.text());
    exception.at(OPEN)
}

fn is_capable(client_properties: &Table, capability: &str) -> bool {
    let Some(Value::Table(capabilities)) = client_properties.get("capabilities") else { return false };
    capabilities.get(capability) == Some(&Value::Boolean(true))
}

fn server_properties(settings: &Settings) -> Table {
    let capabilities = Table::default()
        .with("publisher_confirms", true)
        .with("exchange_exchange_bindings", false)
        .with("basic.nack", true)
        .with("consumer_cancel_notify", true)
        .with("connection.blocked", true)
        .with("consumer_priorities", true)
        .with("authentication_failure_close", true)
        .with("per_consumer_qos", true)
        .with("direct_reply_to", false);
    Table::default()
        .with("capabilities", capabilities)
        .with("cluster_name", settings.cluster_name.as_str())
        .with("product", settings.product.as_str())
        .with("version", settings.version.as_str())
        .with("platform", "Rust")
}
