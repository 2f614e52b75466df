// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! How a connection begins, and how it writes.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::auth::Authentication;
use crate::error::{Error, Result};
use crate::frame::{DEFAULT_MAX_MESSAGE_SIZE, Frame, take};
use crate::proto::{AuthData, Body, CommandAuthResponse, CommandConnect, CommandConnected, CommandPong, FeatureFlags};

/// The newest version of the protocol that is spoken here: with topic migration.
const PROTOCOL_VERSION: i32 = 20;
const CLIENT_VERSION: &str = concat!("fnstream-pulsar-client-", env!("CARGO_PKG_VERSION"));
/// Payloads up to this size are copied behind their heads, so that many go out in one write.
const COPIED: usize = 16 << 10;
const FRAMES_AT_ONCE: usize = 128;

/// Greets the broker, and answers its questions until it lets the client in.
pub(super) async fn shake_hands(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    buffer: &mut BytesMut,
    authentication: &Authentication,
    proxy_to: Option<String>,
) -> Result<CommandConnected> {
    let connect = Body::Connect(CommandConnect {
        client_version: CLIENT_VERSION.into(),
        auth_method_name: authentication.method().map(str::to_owned),
        auth_data: authentication.data().await?,
        protocol_version: Some(PROTOCOL_VERSION),
        proxy_to_broker_url: proxy_to,
        feature_flags: Some(FeatureFlags {
            supports_auth_refresh: Some(true),
            supports_broker_entry_metadata: Some(true),
            supports_topic_watchers: Some(true),
            ..FeatureFlags::default()
        }),
    });
    send(stream, connect).await?;
    loop {
        let received = loop {
            if let Some(received) = take(buffer, DEFAULT_MAX_MESSAGE_SIZE)? {
                break received;
            }
            let read =
                stream.read_buf(buffer).await.map_err(|error| Error::io("cannot read from the broker", error))?;
            if read == 0 {
                return Err(Error::Disconnected("the broker closed the connection before it was set up".into()));
            }
        };
        match received.body {
            Body::Connected(connected) => return Ok(connected),
            Body::Error(error) => return Err(Error::of_server(error.error, error.message)),
            Body::AuthChallenge(_) => {
                let response = auth_response(authentication, authentication.data().await?);
                send(stream, response).await?;
            }
            Body::Ping(_) => send(stream, Body::Pong(CommandPong {})).await?,
            Body::Pong(_) => {}
            _ => return Err(Error::Protocol("the broker does not answer to the greeting".into())),
        }
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), body: Body) -> Result<()> {
    let failed = |error| Error::io("cannot write to the broker", error);
    stream.write_all(&Frame::plain(body).head).await.map_err(failed)?;
    stream.flush().await.map_err(failed)
}

/// The answer to a question for credentials.
pub(super) fn auth_response(authentication: &Authentication, data: Option<Bytes>) -> Body {
    Body::AuthResponse(CommandAuthResponse {
        client_version: Some(CLIENT_VERSION.into()),
        response: Some(AuthData { auth_method_name: authentication.method().map(str::to_owned), auth_data: data }),
        protocol_version: Some(PROTOCOL_VERSION),
    })
}

/// Writes until the connection ends, and says why it does.
pub(super) async fn write(mut writer: impl AsyncWrite + Unpin, mut frames: mpsc::UnboundedReceiver<Frame>) -> Error {
    let (mut batch, mut out) = (Vec::with_capacity(FRAMES_AT_ONCE), BytesMut::new());
    while frames.recv_many(&mut batch, FRAMES_AT_ONCE).await > 0 {
        if let Err(error) = write_all(&mut writer, &mut batch, &mut out).await {
            return Error::io("cannot write to the broker", error);
        }
    }
    Error::Closed
}

async fn write_all(
    writer: &mut (impl AsyncWrite + Unpin),
    batch: &mut Vec<Frame>,
    out: &mut BytesMut,
) -> std::io::Result<()> {
    for frame in batch.drain(..) {
        out.extend_from_slice(&frame.head);
        if frame.payload.len() <= COPIED {
            out.extend_from_slice(&frame.payload);
        } else {
            writer.write_all(out).await?;
            out.clear();
            writer.write_all(&frame.payload).await?;
        }
    }
    writer.write_all(out).await?;
    out.clear();
    writer.flush().await
}
