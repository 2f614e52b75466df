// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

fn compressed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Zstd => compress_to_vec(bytes, CompressionLevel::Fastest),
    }
}

const ALL: [Coding; 3] = [Coding::Gzip, Coding::Deflate, Coding::Zstd];

fn coding(name: &'static str, value: &str) -> std::result::Result<Option<Coding>, ErrorCode> {
    let mut headers = HeaderMap::new();
    for value in value.split('|') {
        headers.append(name, value.parse().unwrap());
    }
    of(&headers).map_err(|failure| failure.0.code)
}

#[test]
fn what_was_compressed_comes_back_up_to_the_limit() {
    let texts = [b"a".to_vec(), b"line\n".repeat(40_000), (0..100_000_u32).flat_map(u32::to_le_bytes).collect()];
    for coding in ALL {
        for text in &texts {
            let bytes = compressed(coding, text);
            assert!(coding.holds(Some(bytes.len()), usize::MAX) >= text.len(), "{coding:?}");
            assert_eq!(coding.undo(&bytes, text.len()).unwrap().as_ref(), Some(text), "{coding:?}");
            assert_eq!(coding.undo(&bytes, text.len() - 1).unwrap(), None, "{coding:?}");
            // Several pieces follow each other.
            if coding != Coding::Deflate {
                assert_eq!(coding.undo(&bytes.repeat(2), 2 * text.len()).unwrap(), Some(text.repeat(2)), "{coding:?}");
                assert_eq!(coding.undo(&bytes.repeat(2), 2 * text.len() - 1).unwrap(), None, "{coding:?}");
            }
        }
    }
}

#[test]
fn what_is_cut_or_changed_or_followed_by_more_is_refused() {
    for coding in ALL {
        let bytes = compressed(coding, &b"some text, and more of it\n".repeat(100));
        for cut in 0..bytes.len() {
            assert!(coding.undo(&bytes[..cut], 1 << 20).is_err(), "{coding:?} at {cut}");
        }
        let more = [&bytes[..], b"more"].concat();
        assert_eq!(coding.undo(&more, 1 << 20).unwrap_err().code, ErrorCode::InvalidRequest, "{coding:?}");
        assert!(coding.undo(b"no such thing at all", 1 << 20).is_err(), "{coding:?}");
    }
}

#[test]
fn a_large_window_is_refused_before_memory_is_taken_for_it() {
    // A frame that says that its window has 2 GiB, and one that says so of what it holds.
    let window = [&ZSTD_MAGIC.to_le_bytes()[..], &[0, 21 << 3, 1, 0, 0]].concat();
    assert!(Coding::Zstd.undo(&window, 1 << 20).unwrap_err().message.contains("more than 8 MiB"));
    let content = [&ZSTD_MAGIC.to_le_bytes()[..], &[0xa0, 0, 0, 0, 0x80, 1, 0, 0]].concat();
    assert_eq!(Coding::Zstd.undo(&content, 1 << 20).unwrap(), None);
    let skipped = [&ZSTD_SKIPPABLE.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc", &compressed(Coding::Zstd, b"x")];
    assert_eq!(Coding::Zstd.undo(&skipped.concat(), 9).unwrap(), Some(b"x".to_vec()));
}

#[test]
fn every_header_is_honoured_or_refused() {
    for (text, expected) in [
        ("gzip", Ok(Some(Coding::Gzip))),
        ("X-GZIP", Ok(Some(Coding::Gzip))),
        (" deflate ", Ok(Some(Coding::Deflate))),
        ("identity, zstd", Ok(Some(Coding::Zstd))),
        ("identity", Ok(None)),
        ("", Ok(None)),
        ("br", Err(ErrorCode::EncodingRefused)),
        ("gzip, zstd", Err(ErrorCode::EncodingRefused)),
        ("gzip|gzip", Err(ErrorCode::EncodingRefused)),
    ] {
        assert_eq!(coding("content-encoding", text), expected, "{text}");
    }
    let encoding = Err(ErrorCode::EncodingRefused);
    for (name, text, expected) in [
        ("transfer-encoding", "chunked", Ok(None)),
        ("transfer-encoding", "gzip, chunked", encoding),
        ("content-transfer-encoding", "base64", encoding),
        ("content-transfer-encoding", "binary", Ok(None)),
        ("content-range", "bytes 0-1/3", Err(ErrorCode::InvalidRequest)),
        ("content-type", "application/json; charset=utf-8", Ok(None)),
        ("content-type", "application/x-ndjson;charset=\"UTF-8\"", Ok(None)),
        ("content-type", "application/json; charset=utf-16", Err(ErrorCode::ContentTypeRefused)),
        ("content-type", "application/x-ndjson; a=b; charset=latin1", Err(ErrorCode::ContentTypeRefused)),
        // Its bytes are an event as they are.
        ("content-type", "text/plain; charset=latin1", Ok(None)),
    ] {
        assert_eq!(coding(name, text), expected, "{name}: {text}");
    }
}
