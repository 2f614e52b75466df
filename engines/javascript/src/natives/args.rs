// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Functions that are called for each record, made as QuickJS makes its own: what rquickjs does for a call and its arguments takes
//! longer than what they do.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::{ptr, slice};

use rquickjs::{Ctx, Exception, Result, Value, qjs};

use super::refused_as;
use crate::boundary::Error;

/// A function with so many parameters.
pub(super) trait Native {
    const PARAMETERS: usize;

    fn call(args: &Args<'_>) -> Called;
}

/// What becomes of a call.
pub(super) type Called = std::result::Result<Answer, Failure>;

/// What a function answers.
pub(super) enum Answer {
    Undefined,
    Null,
    Bool(bool),
    /// A value that was made for it.
    Made(qjs::JSValue),
}

/// Why a function throws.
pub(super) enum Failure {
    Refused(Error),
    Type(String),
    Range(String),
    /// QuickJS has thrown already.
    Thrown,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Refused(error)
    }
}

/// Makes a function of JavaScript.
pub(super) fn function<'js, N: Native>(ctx: &Ctx<'js>) -> Result<Value<'js>> {
    // SAFETY: the context is alive, the name is terminated, and the value belongs to nobody yet.
    unsafe {
        let (raw, kind) = (ctx.as_raw().as_ptr(), qjs::JSCFunctionEnum_JS_CFUNC_generic);
        let made = qjs::JS_NewCFunction2(raw, Some(call::<N>), c"native".as_ptr(), N::PARAMETERS as _, kind, 0);
        Ok(Value::from_raw(ctx.clone(), made))
    }
}

unsafe extern "C" fn call<N: Native>(
    context: *mut qjs::JSContext,
    _this: qjs::JSValue,
    _count: std::ffi::c_int,
    values: *mut qjs::JSValue,
) -> qjs::JSValue {
    // SAFETY: QuickJS gives as many values as the function was made with parameters, undefined ones if need be.
    let values = unsafe { slice::from_raw_parts(values, N::PARAMETERS) };
    match N::call(&Args { context, values }) {
        Ok(Answer::Undefined) => qjs::JS_UNDEFINED,
        Ok(Answer::Null) => qjs::JS_NULL,
        Ok(Answer::Bool(true)) => qjs::JS_TRUE,
        Ok(Answer::Bool(false)) => qjs::JS_FALSE,
        Ok(Answer::Made(value)) => value,
        Err(failure) => {
            throw(context, failure);
            qjs::JS_EXCEPTION
        }
    }
}

fn throw(context: *mut qjs::JSContext, failure: Failure) {
    let Some(context) = NonNull::new(context) else { return };
    // SAFETY: it is the context of the call.
    let ctx = unsafe { Ctx::from_raw(context) };
    // What these return says that it is thrown.
    let _ = match failure {
        Failure::Refused(error) => refused_as(&ctx, &error),
        Failure::Type(message) => Exception::throw_type(&ctx, &message),
        Failure::Range(message) => Exception::throw_range(&ctx, &message),
        Failure::Thrown => return,
    };
}

/// The arguments of a call.
pub(super) struct Args<'a> {
    context: *mut qjs::JSContext,
    values: &'a [qjs::JSValue],
}

impl Args<'_> {
    /// An integer, also one that is a bigint; 0 for what is none.
    pub(super) fn integer(&self, at: usize) -> i64 {
        let mut integer = 0;
        // SAFETY: the value is an argument.
        unsafe {
            if qjs::JS_IsInt(self.values[at]) {
                return qjs::JS_VALUE_GET_INT(self.values[at]).into();
            }
            qjs::JS_ToInt64Ext(self.context, &mut integer, self.values[at]);
        }
        integer
    }

    pub(super) fn is_bytes(&self, at: usize) -> bool {
        // SAFETY: the value is an argument.
        unsafe { qjs::JS_GetTypedArrayType(self.values[at]) == qjs::JSTypedArrayEnum_JS_TYPED_ARRAY_UINT8 as _ }
    }

    /// The bytes of a Uint8Array. They are JavaScript's, so they are true until something of it runs.
    pub(super) fn bytes(&self, at: usize) -> std::result::Result<Option<&[u8]>, Failure> {
        if !self.is_bytes(at) {
            return Ok(None);
        }
        let mut len = 0;
        // SAFETY: the value is an argument, and what is returned has that length.
        let start = unsafe { qjs::JS_GetUint8Array(self.context, &mut len, self.values[at]) };
        if start.is_null() {
            return Err(Failure::Thrown);
        }
        // SAFETY: as above; no JavaScript runs while a native function does.
        Ok(Some(unsafe { slice::from_raw_parts(start, len as usize) }))
    }

    /// The UTF-8 of text; halves of pairs in it are as QuickJS writes them.
    pub(super) fn text(&self, at: usize) -> std::result::Result<Option<Text<'_>>, Failure> {
        // SAFETY: the value is an argument.
        if !unsafe { qjs::JS_IsString(self.values[at]) } {
            return Ok(None);
        }
        let mut len = 0;
        // SAFETY: the value is an argument; the text is given back when it is dropped.
        let start = unsafe { qjs::JS_ToCStringLen(self.context, &mut len, self.values[at]) };
        if start.is_null() {
            return Err(Failure::Thrown);
        }
        Ok(Some(Text { context: self.context, start, len, of: PhantomData }))
    }

    /// A new Uint8Array.
    pub(super) fn new_bytes(&self, bytes: &[u8]) -> Called {
        // SAFETY: the bytes are copied.
        let made = unsafe { qjs::JS_NewUint8ArrayCopy(self.context, bytes.as_ptr(), bytes.len() as _) };
        made_or_thrown(made)
    }

    /// A new text.
    pub(super) fn new_text(&self, text: &str) -> Called {
        // SAFETY: the text is copied.
        made_or_thrown(unsafe { qjs::JS_NewStringLen(self.context, text.as_ptr().cast(), text.len() as _) })
    }

    /// The value of JSON, which must be UTF-8.
    pub(super) fn parsed(&self, json: &[u8]) -> Called {
        let mut terminated = Vec::with_capacity(json.len() + 1);
        terminated.extend_from_slice(json);
        terminated.push(0);
        // SAFETY: there is a zero behind the bytes, as it must be.
        made_or_thrown(unsafe {
            qjs::JS_ParseJSON(self.context, terminated.as_ptr().cast(), json.len() as _, c"<input>".as_ptr())
        })
    }
}

fn made_or_thrown(made: qjs::JSValue) -> Called {
    // SAFETY: it is a value.
    if unsafe { qjs::JS_IsException(made) } { Err(Failure::Thrown) } else { Ok(Answer::Made(made)) }
}

/// Text that QuickJS has lent.
pub(super) struct Text<'a> {
    context: *mut qjs::JSContext,
    start: *const std::ffi::c_char,
    len: usize,
    of: PhantomData<&'a Args<'a>>,
}

impl Deref for Text<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are there until they are given back.
        unsafe { &*ptr::slice_from_raw_parts(self.start.cast(), self.len) }
    }
}

impl Drop for Text<'_> {
    fn drop(&mut self) {
        // SAFETY: they are given back once.
        unsafe { qjs::JS_FreeCString(self.context, self.start) };
    }
}
