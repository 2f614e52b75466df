// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Events as JSON objects in a body: with key, headers and time, whatever they hold.
//!
//! `{"partition":0,"position":"7","timestamp":1,"key":null,"headers":[{"name":"a","value":"b"}],"value":"text"}`, before that
//! `receipt` and `deliveries` if the event is leased. Bytes that are not UTF-8 are `{"base64":"…"}`, and a null value is `null`.
//!
//! The text is made piece by piece while it is sent, since JSON can take six times the bytes of an event.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response as HttpResponse};
use axum::response::Response;
use bytes::Bytes;
use fnstream_api::{ErrorBody, header};
use fnstream_core::Result;
use fnstream_core::batch::Batch;
use fnstream_core::budget::Held;
use hyper::body::Frame;

use super::encoded::Encoded;
use crate::app::{Delivered, Skipped, Taken};
use crate::net::{Counted, Presence};

/// About the bytes of a piece of text.
const PIECE: usize = 16 << 10;

/// How events follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rest) enum Form {
    /// `{"events":[…]}`.
    Json,
    /// One in a line.
    Lines,
    /// Server-sent events.
    Stream,
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Form::Json),
            "ndjson" => Ok(Form::Lines),
            "sse" => Ok(Form::Stream),
            _ => Err(format!("'{}' is not json, ndjson or sse", text.escape_debug())),
        }
    }
}

/// Events that are to be sent.
pub(in crate::rest) struct Events {
    events: VecDeque<Event>,
    skipped: Vec<Skipped>,
    memory: Option<Held>,
}

struct Event {
    batch: Arc<Batch>,
    index: usize,
    /// The receipt, and how often it was delivered.
    lease: Option<(String, u32)>,
}

impl From<Taken> for Events {
    fn from(taken: Taken) -> Self {
        let Taken { records, skipped, memory } = taken;
        let event = |record: crate::app::TakenRecord| Event {
            lease: Some((record.receipt, record.deliveries)),
            batch: record.batch,
            index: record.index,
        };
        Events { events: records.into_iter().map(event).collect(), skipped, memory }
    }
}

impl From<Delivered> for Events {
    fn from(delivered: Delivered) -> Self {
        let batch = Arc::new(delivered.batch);
        let events = (0..batch.len()).map(|index| Event { batch: batch.clone(), index, lease: None }).collect();
        // Where the group stood is told by whoever tells where the records are.
        Events { events, skipped: Vec::new(), memory: Some(delivered.memory) }
    }
}

/// An answer with all of the events.
pub(in crate::rest) fn answer(mut events: Events, form: Form) -> Response {
    let (count, memory) = (events.events.len(), events.memory.take());
    let mut answer = HttpResponse::new(Body::empty());
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(if form == Form::Json { "application/json" } else { header::LINES }),
    );
    headers.insert(header::COUNT, count.into());
    for Skipped { partition, from, .. } in &events.skipped {
        if let Ok(value) = HeaderValue::try_from(format!("{partition}:{from}")) {
            headers.append(header::SKIPPED_FROM, value);
        }
    }
    *answer.body_mut() = Body::new(Text::new(events, form));
    if let Some(memory) = memory {
        answer.extensions_mut().insert(Counted(Arc::new(memory)));
    }
    answer
}

/// A stream of server-sent events: the first of them, and then again and again what comes next. A comment shows that it is alive when
/// nothing comes; an error is the last event. It ends when the client ends its side of the connection, so that nothing is taken for
/// one that is gone.
pub(in crate::rest) fn stream<F>(
    client: Presence,
    first: Events,
    next: impl Fn() -> F + Send + Sync + 'static,
) -> Response
where
    F: Future<Output = Result<Events>> + Send + 'static,
{
    let next = move || -> Next { Box::pin(next()) };
    let (told, now) = (told(&first.skipped), Text::new(first, Form::Stream));
    let body = Stream { client, told, now, next: Box::new(next), coming: None, ended: false };
    let mut answer = HttpResponse::new(Body::new(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

type Next = Pin<Box<dyn Future<Output = Result<Events>> + Send>>;

struct Stream {
    client: Presence,
    /// What is sent before the events at hand.
    told: String,
    now: Text,
    next: Box<dyn Fn() -> Next + Send + Sync>,
    coming: Option<Next>,
    ended: bool,
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        loop {
            if !this.told.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.told).into()))));
            }
            if let Some(piece) = this.now.piece() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            if this.client.has_ended(cx.waker()) {
                this.coming = None;
                return Poll::Ready(None);
            }
            let coming = this.coming.get_or_insert_with(|| (this.next)());
            let came = ready!(coming.as_mut().poll(cx));
            this.coming = None;
            match came {
                Ok(events) => {
                    this.told = told(&events.skipped);
                    if events.events.is_empty() && events.skipped.is_empty() {
                        this.told.push_str(":\n\n");
                    }
                    this.now = Text::new(events, Form::Stream);
                }
                Err(error) => {
                    this.ended = true;
                    let body = serde_json::to_string(&ErrorBody::from(&error)).unwrap_or_default();
                    this.told = format!("event: error\ndata: {body}\n\n");
                }
            }
        }
    }
}

/// What retention dropped, as server-sent events.
fn told(skipped: &[Skipped]) -> String {
    skipped.iter().map(|skipped| format!("event: skipped\ndata: {}\n\n", object(skipped))).collect()
}

fn object(skipped: &Skipped) -> String {
    let Skipped { partition, from, records } = skipped;
    format!(r#"{{"partition":{partition},"from":"{from}","events":{records}}}"#)
}

/// Events as text.
struct Text {
    events: Events,
    form: Form,
    /// What is left of the event at hand.
    parts: VecDeque<Part>,
    begun: bool,
    ended: bool,
}

enum Part {
    Text(String),
    Encoded(Encoded),
}

impl Text {
    fn new(events: Events, form: Form) -> Self {
        Text { events, form, parts: VecDeque::new(), begun: false, ended: false }
    }

    /// The next piece; `None` at the end.
    fn piece(&mut self) -> Option<Bytes> {
        let mut piece = Vec::new();
        while piece.len() < PIECE {
            match self.parts.front_mut() {
                Some(Part::Text(text)) => {
                    piece.extend_from_slice(text.as_bytes());
                    self.parts.pop_front();
                }
                Some(Part::Encoded(encoded)) if encoded.is_over() => drop(self.parts.pop_front()),
                Some(Part::Encoded(encoded)) => piece.extend_from_slice(&encoded.piece()),
                None if self.ended => break,
                None => self.next_event(),
            }
        }
        (!piece.is_empty()).then(|| piece.into())
    }

    fn next_event(&mut self) {
        let is_first = !std::mem::replace(&mut self.begun, true);
        let event = self.events.events.pop_front();
        if self.form == Form::Json && is_first {
            self.text("{\"events\":[");
        }
        let Some(event) = event else {
            self.ended = true;
            self.events.memory = None;
            if self.form == Form::Json {
                let skipped: Vec<_> = self.events.skipped.iter().map(object).collect();
                self.text(match skipped.is_empty() {
                    true => "]}".to_owned(),
                    false => format!("],\"skipped\":[{}]}}", skipped.join(",")),
                });
            }
            return;
        };
        let (partition, position) = (event.batch.from().partition, event.batch.position(event.index));
        match self.form {
            Form::Json if !is_first => self.text(","),
            Form::Stream => self.text(format!("id: {partition}:{position}\ndata: ")),
            _ => {}
        }
        let record = event.batch.frame().record(event.index);
        let bytes = |part: &[u8]| if part.is_empty() { Bytes::new() } else { event.batch.bytes().slice_ref(part) };
        let lease = event.lease.map(|(receipt, count)| format!("\"receipt\":\"{receipt}\",\"deliveries\":{count},"));
        self.text(format!(
            "{{{}\"partition\":{partition},\"position\":\"{position}\",\"timestamp\":{},\"key\":",
            lease.unwrap_or_default(),
            record.timestamp
        ));
        self.data(record.key.map(bytes));
        self.text(",\"headers\":[");
        for (index, (name, value)) in record.headers.iter().enumerate() {
            self.text(if index == 0 { "{\"name\":" } else { ",{\"name\":" });
            self.data(Some(bytes(name.as_bytes())));
            self.text(",\"value\":");
            self.data(Some(bytes(value)));
            self.text("}");
        }
        self.text("],\"value\":");
        self.data(record.value.map(bytes));
        self.text(match self.form {
            Form::Json => "}",
            Form::Lines => "}\n",
            Form::Stream => "}\n\n",
        });
    }

    fn text(&mut self, text: impl Into<String>) {
        self.parts.push_back(Part::Text(text.into()));
    }

    fn data(&mut self, data: Option<Bytes>) {
        let Some(data) = data else { return self.text("null") };
        match std::str::from_utf8(&data) {
            Ok(text) => {
                let encoded = Encoded::json(text, data.clone());
                self.parts.push_back(Part::Encoded(encoded));
            }
            Err(_) => {
                self.text("{\"base64\":");
                self.parts.push_back(Part::Encoded(Encoded::base64(data, true)));
                self.text("}");
            }
        }
    }
}

impl HttpBody for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().piece().map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fnstream_core::batch::BatchPositions;
    use fnstream_core::record::{Position, TopicPartition};
    use fnstream_frame::{FrameBuilder, HeadersBuilder, RecordRef};
    use http_body_util::BodyExt;

    use super::*;

    fn events() -> Events {
        let mut headers = HeadersBuilder::new();
        headers.push("a\"", b"b\xff").unwrap();
        let mut frame = FrameBuilder::new();
        frame.push(RecordRef::new(b"x\ny").with_key(Some(b"")).with_headers(headers.as_headers()).at(7));
        frame.push(RecordRef { value: None, ..RecordRef::new(b"") }.at(-1));
        frame.push(RecordRef::new(b"\xff").at(0));
        let at = TopicPartition::new("t", 2);
        let positions = BatchPositions::Contiguous(Position(5));
        let batch = Arc::new(Batch::new(at, positions, frame.to_bytes().into()).unwrap());
        let lease = |index: usize| (index == 0).then(|| ("r".to_owned(), 3));
        let events = (0..3).map(|index| Event { batch: batch.clone(), index, lease: lease(index) }).collect();
        Events { events, skipped: vec![Skipped { partition: 2, from: Position(1), records: 3 }], memory: None }
    }

    const FIRST: &str = r#"{"receipt":"r","deliveries":3,"partition":2,"position":"5","timestamp":7,"key":"","headers":[{"name":"a\"","value":{"base64":"Yv8="}}],"value":"x\ny"}"#;
    const SECOND: &str = r#"{"partition":2,"position":"6","timestamp":-1,"key":null,"headers":[],"value":null}"#;
    const THIRD: &str =
        r#"{"partition":2,"position":"7","timestamp":0,"key":null,"headers":[],"value":{"base64":"/w=="}}"#;

    const SKIPPED: &str = r#"{"partition":2,"from":"1","events":3}"#;

    async fn body(answer: Response) -> String {
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn nothing_of_an_event_is_lost_in_any_form() {
        let json = answer(events(), Form::Json);
        assert_eq!(
            (&json.headers()["fs-count"], &json.headers()["fs-skipped-from"]),
            (&"3".parse().unwrap(), &"2:1".parse().unwrap())
        );
        assert_eq!(body(json).await, format!(r#"{{"events":[{FIRST},{SECOND},{THIRD}],"skipped":[{SKIPPED}]}}"#));
        assert_eq!(body(answer(events(), Form::Lines)).await, format!("{FIRST}\n{SECOND}\n{THIRD}\n"));
        let none = Events { events: VecDeque::new(), skipped: Vec::new(), ..events() };
        assert_eq!(body(answer(none, Form::Json)).await, r#"{"events":[]}"#);
    }

    #[tokio::test]
    async fn a_stream_goes_on_until_an_error_which_it_tells() {
        let calls = std::sync::atomic::AtomicU32::new(0);
        let next = move || {
            let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::future::ready(match call {
                0 => Ok(Events { events: VecDeque::new(), skipped: Vec::new(), memory: None }),
                // Told at once, not when the next event comes.
                1 => Ok(Events { events: VecDeque::new(), ..events() }),
                2 => Ok(Events { skipped: Vec::new(), ..events() }),
                _ => Err(fnstream_core::Error::new(fnstream_core::ErrorCode::ShuttingDown, "it ends")),
            })
        };
        let all = format!("id: 2:5\ndata: {FIRST}\n\nid: 2:6\ndata: {SECOND}\n\nid: 2:7\ndata: {THIRD}\n\n");
        let text = body(stream(Presence::certain(), events(), next)).await;
        let skipped = format!("event: skipped\ndata: {SKIPPED}\n\n");
        let (good, error) = text.split_once("event: error\n").unwrap();
        assert_eq!(good, format!("{skipped}{all}:\n\n{skipped}{all}"));
        assert!(error.starts_with("data: {\"code\":\"FS-1701\",\"message\":\"it ends\""), "{error}");
    }
}
