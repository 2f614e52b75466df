// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Headers that change the meaning of a body: each is honoured, or the request is refused. None is passed over.
//!
//! ```text
//! Content-Encoding            gzip, deflate and zstd are undone, up to the limit of a plain body   else FS-1015
//! Transfer-Encoding           chunked                                                              else FS-1015
//! Content-Type                charset=utf-8 of JSON and of lines                                   else FS-1012
//! Content-Range               a part of something else                                             FS-1001
//! Content-Transfer-Encoding   of mail: only what changes nothing                                   else FS-1015
//! ```

use std::io::Read;

use axum::http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use fnstream_core::{Error, ErrorCode, Result};
use ruzstd::decoding::StreamingDecoder;

use super::failure::{Answer, Failure};

const CONTENT_TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

/// How much more than its own bytes a body of gzip or deflate can hold: each bit pair stands for at most 258 bytes.
const MOST_DEFLATED: usize = 1032;

/// The largest window of zstd that the content coding may have (RFC 9659). So much memory is taken to undo it.
const ZSTD_WINDOW: u64 = 8 << 20;
const ZSTD_MAGIC: u32 = 0xfd2f_b528;
/// Of a frame that holds nothing for who decodes it; its last four bits are free.
const ZSTD_SKIPPABLE: u32 = 0x184d_2a50;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Zstd,
}

/// How the body is compressed, if it is; refuses headers that give it a meaning which is not known here.
pub(super) fn of(headers: &HeaderMap) -> Answer<Option<Coding>> {
    if let Some(coding) = words(headers, &TRANSFER_ENCODING).find(|coding| coding != "chunked") {
        return Err(refused("Transfer-Encoding", &coding, "chunked"));
    }
    for coding in words(headers, &CONTENT_TRANSFER_ENCODING) {
        if !matches!(coding.as_str(), "binary" | "8bit" | "7bit") {
            return Err(refused("Content-Transfer-Encoding", &coding, "binary"));
        }
    }
    if headers.contains_key(CONTENT_RANGE) {
        return Err(Failure::invalid("the body is said to be a part, by Content-Range: send the whole"));
    }
    check_charset(headers)?;
    let mut codings = words(headers, &CONTENT_ENCODING).filter(|coding| coding != "identity");
    let coding = match codings.next().as_deref() {
        None => return Ok(None),
        Some("gzip" | "x-gzip") => Coding::Gzip,
        Some("deflate") => Coding::Deflate,
        Some("zstd") => Coding::Zstd,
        Some(other) => return Err(refused("Content-Encoding", other, "gzip, deflate or zstd")),
    };
    match codings.next() {
        None => Ok(Some(coding)),
        Some(_) => {
            let message = "the body is compressed twice, by Content-Encoding: it may be once";
            Err(Failure::new(ErrorCode::EncodingRefused, message))
        }
    }
}

/// The same where nothing is undone.
pub(super) fn plain(headers: &HeaderMap) -> Answer<()> {
    match of(headers)? {
        None => Ok(()),
        Some(_) => {
            let message = "the body is compressed, by Content-Encoding, and a file is taken as it is";
            Err(Failure::new(ErrorCode::EncodingRefused, message))
        }
    }
}

/// The words of a header that is a list, in lowercase.
fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> + 'a {
    let values = headers.get_all(name).into_iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let words =
        values.flat_map(|value| value.split(',').map(|word| word.trim().to_ascii_lowercase()).collect::<Vec<_>>());
    words.filter(|word| !word.is_empty())
}

fn refused(header: &str, coding: &str, taken: &str) -> Failure {
    let message = format!("{header} is '{}', taken: {taken}", coding.escape_debug());
    Failure::new(ErrorCode::EncodingRefused, message)
}

/// Text of which the server reads more than its bytes is UTF-8.
fn check_charset(headers: &HeaderMap) -> Answer<()> {
    let text = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    let text = text.unwrap_or_default();
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    if !essence.contains("json") {
        return Ok(());
    }
    let charset = parts.find_map(|part| part.strip_prefix("charset=")).map(|charset| charset.trim_matches('"'));
    match charset {
        None | Some("utf-8" | "utf8" | "us-ascii") => Ok(()),
        Some(other) => {
            let message =
                format!("the charset of '{}' is '{}', not utf-8", essence.escape_debug(), other.escape_debug());
            Err(Failure::new(ErrorCode::ContentTypeRefused, message))
        }
    }
}

impl Coding {
    /// The most bytes that a body of so many can hold, if that is known, but no more than `most`.
    pub(super) fn holds(self, bytes: Option<usize>, most: usize) -> usize {
        match (self, bytes) {
            (Coding::Gzip | Coding::Deflate, Some(bytes)) => bytes.saturating_mul(MOST_DEFLATED).min(most),
            _ => most,
        }
    }

    /// The body as it was before it was compressed; `None` if that has more than `most` bytes. Blocks for as long as it computes.
    pub(super) fn undo(self, bytes: &[u8], most: usize) -> Result<Option<Vec<u8>>> {
        let mut out = Vec::new();
        let is_whole = match self {
            Coding::Gzip => take(&mut MultiGzDecoder::new(bytes), &mut out, most),
            Coding::Deflate => {
                let mut decoder = ZlibDecoder::new(bytes);
                let taken = take(&mut decoder, &mut out, most);
                match taken {
                    Ok(true) if decoder.total_in() < bytes.len() as u64 => Err("bytes follow its end".to_owned()),
                    taken => taken,
                }
            }
            Coding::Zstd => frames(bytes, &mut out, most),
        };
        match is_whole {
            Ok(true) => Ok(Some(out)),
            Ok(false) => Ok(None),
            Err(why) => {
                let message = format!("the body is not what Content-Encoding says, {}: {why}", self.name());
                Err(Error::new(ErrorCode::InvalidRequest, message))
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Zstd => "zstd",
        }
    }
}

/// Adds what comes; answers whether that was all, or there is more than `most`.
fn take(from: &mut impl Read, out: &mut Vec<u8>, most: usize) -> std::result::Result<bool, String> {
    let left = (most - out.len()) as u64;
    from.take(left + 1).read_to_end(out).map_err(|e| e.to_string())?;
    Ok(out.len() <= most)
}

/// Adds what the frames of zstd hold.
fn frames(mut bytes: &[u8], out: &mut Vec<u8>, most: usize) -> std::result::Result<bool, String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    while !bytes.is_empty() {
        let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..at + 4)?.as_array()?));
        let magic = word(0).ok_or("it is cut off")?;
        if magic & !0xf == ZSTD_SKIPPABLE {
            let length = word(4).ok_or("it is cut off")? as usize;
            bytes = bytes.get(8 + length..).ok_or("it is cut off")?;
            continue;
        }
        match window(bytes).ok_or("it does not begin like a frame")? {
            Window::Content(length) if length > (most - out.len()) as u64 => return Ok(false),
            Window::Of(size) if size > ZSTD_WINDOW => {
                return Err(format!("its window has {size} bytes, more than 8 MiB"));
            }
            _ => {}
        }
        let mut decoder = StreamingDecoder::new(&mut bytes).map_err(|e| e.to_string())?;
        if !take(&mut decoder, out, most)? {
            return Ok(false);
        }
        let sums = (decoder.decoder.get_checksum_from_data(), decoder.decoder.get_calculated_checksum());
        if let (Some(told), Some(found)) = sums
            && told != found
        {
            return Err("its checksum does not fit".to_owned());
        }
    }
    Ok(true)
}

/// The bytes that are kept to undo a frame of zstd.
enum Window {
    /// All that it holds.
    Content(u64),
    /// A window of this size.
    Of(u64),
}

/// Reads the beginning of a frame of zstd (RFC 8878, 3.1.1.1).
fn window(frame: &[u8]) -> Option<Window> {
    let (magic, rest) = frame.split_first_chunk()?;
    let (descriptor, rest) = rest.split_first()?;
    if u32::from_le_bytes(*magic) != ZSTD_MAGIC {
        return None;
    }
    if descriptor & 0x20 == 0 {
        let (exponent, mantissa) = (rest.first()? >> 3, u64::from(rest.first()? & 7));
        let base = 1_u64 << (10 + exponent);
        return Some(Window::Of(base + base / 8 * mantissa));
    }
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let bytes = rest.get(dictionary..dictionary + length)?;
    let number = bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Some(Window::Content(if length == 2 { number + 256 } else { number }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
