// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A client: its configuration, its callbacks, its end.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use fnstream_core::{Error, Result};
use parking_lot::Mutex;
use rdkafka::bindings as sys;
use rdkafka::config::ClientConfig;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaType};

use super::member::{Told, on_rebalance};
use super::producer::Delivery;
use crate::error::{Failure, unusable};

/// What a client says by itself.
pub(super) struct Events {
    pub(super) on_error: Box<dyn Fn(Failure) + Send + Sync>,
    /// What became of produced records, until somebody takes it.
    pub(super) deliveries: Mutex<Vec<Delivery>>,
    /// What the group says to a member, in its order, until somebody takes it.
    pub(super) rebalances: Mutex<Vec<Told>>,
}

/// A consumer or a producer of librdkafka.
pub(crate) struct Client {
    ptr: NonNull<sys::rd_kafka_t>,
    /// Held because the callbacks use it.
    pub(super) events: Arc<Events>,
}

// SAFETY: librdkafka's clients may be used from any thread, and from several at once.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    pub(super) fn new(
        kind: RDKafkaType,
        config: &ClientConfig,
        on_error: impl Fn(Failure) + Send + Sync + 'static,
    ) -> Result<Client, Error> {
        let events =
            Events { on_error: Box::new(on_error), deliveries: Mutex::default(), rebalances: Mutex::default() };
        let events = Arc::new(events);
        let native = config.create_native_config().map_err(|e| unusable(&e))?;
        let mut reason = [0 as c_char; 512];
        // SAFETY: the copy of the configuration is ours, and librdkafka owns it once a client was made of it. `events` lives
        // as long as the client, which calls no callback after it was destroyed.
        let ptr = unsafe {
            let conf = sys::rd_kafka_conf_dup(native.ptr());
            sys::rd_kafka_conf_set_opaque(conf, Arc::as_ptr(&events).cast_mut().cast());
            sys::rd_kafka_conf_set_error_cb(conf, Some(on_error_event));
            sys::rd_kafka_conf_set_log_cb(conf, Some(on_log));
            if matches!(kind, RDKafkaType::RD_KAFKA_PRODUCER) {
                sys::rd_kafka_conf_set_dr_msg_cb(conf, Some(on_delivery));
            } else {
                // Called for members of groups alone.
                sys::rd_kafka_conf_set_rebalance_cb(conf, Some(on_rebalance));
            }
            let ptr = sys::rd_kafka_new(kind, conf, reason.as_mut_ptr(), reason.len());
            if ptr.is_null() {
                sys::rd_kafka_conf_destroy(conf);
            }
            ptr
        };
        match NonNull::new(ptr) {
            Some(ptr) => Ok(Client { ptr, events }),
            None => {
                // SAFETY: librdkafka ends the text with a zero within the buffer.
                let reason = unsafe { text(reason.as_ptr()) };
                Err(unusable(&reason))
            }
        }
    }

    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_t {
        self.ptr.as_ptr()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: nobody has the client any more: what it gave holds it. A consumer that has no subscription has nothing to
        // say goodbye to.
        unsafe { sys::rd_kafka_destroy_flags(self.ptr(), sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE as c_int) };
    }
}

/// The text at a place that librdkafka gave.
///
/// # Safety
/// `at` is null or points to a text that ends with a zero.
pub(super) unsafe fn text(at: *const c_char) -> String {
    if at.is_null() {
        return String::new();
    }
    // SAFETY: the caller says so.
    unsafe { CStr::from_ptr(at) }.to_string_lossy().into_owned()
}

/// What an operation on transactions answered.
///
/// # Safety
/// `error` is null or an error that nobody else has.
pub(super) unsafe fn outcome(error: *mut sys::rd_kafka_error_t) -> Result<(), Failure> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is ours until it is destroyed.
    let failure = unsafe {
        let failure = Failure {
            code: sys::rd_kafka_error_code(error).into(),
            text: text(sys::rd_kafka_error_string(error)),
            is_retriable: sys::rd_kafka_error_is_retriable(error) != 0,
            is_fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            requires_abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
        };
        sys::rd_kafka_error_destroy(error);
        failure
    };
    Err(failure)
}

unsafe extern "C" fn on_error_event(
    client: *mut sys::rd_kafka_t,
    code: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    let Ok(code) = sys::rd_kafka_resp_err_t::try_from(code) else { return };
    let mut code: RDKafkaErrorCode = code.into();
    // SAFETY: librdkafka calls with the client's own opaque value, which `Client` keeps alive, and with a text of its own.
    let (events, mut reason) = unsafe { (&*opaque.cast::<Events>(), text(reason)) };
    if code == RDKafkaErrorCode::Fatal {
        let mut buffer = [0 as c_char; 512];
        // SAFETY: the buffer is as large as is said.
        unsafe {
            code = sys::rd_kafka_fatal_error(client, buffer.as_mut_ptr(), buffer.len()).into();
            reason = text(buffer.as_ptr());
        }
    }
    (events.on_error)(Failure::new(code, reason));
}

unsafe extern "C" fn on_delivery(
    _client: *mut sys::rd_kafka_t,
    message: *const sys::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: as in `on_error_event`; the message is librdkafka's for as long as the call lasts. What was given as opaque
    // value of the record is a number.
    let (events, message) = unsafe { (&*opaque.cast::<Events>(), &*message) };
    let code: RDKafkaErrorCode = message.err.into();
    let failed = (code != RDKafkaErrorCode::NoError).then_some(code);
    events.deliveries.lock().push(Delivery { token: message._private as usize, offset: message.offset, failed });
}

/// The client's own log goes where ours goes. What matters is reported as an error too.
unsafe extern "C" fn on_log(
    _client: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: librdkafka calls with texts of its own.
    let (facility, line) = unsafe { (text(facility), text(line)) };
    match level {
        // Who is fenced says so where that means something.
        0..=2 if line.contains("fenced") => tracing::debug!(facility, "{line}"),
        0..=2 => tracing::error!(facility, "{line}"),
        _ => tracing::debug!(facility, "{line}"),
    }
}
