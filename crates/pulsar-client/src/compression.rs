// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Compression of payloads. Decompression never makes more than the metadata told, which is itself bounded.

use std::borrow::Cow;
use std::io::Read;

use bytes::Bytes;
use flate2::read::{ZlibDecoder, ZlibEncoder};

use crate::error::{Error, Result};
use crate::proto::CompressionType;

/// How payloads are compressed. A batch is compressed as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4: fast.
    Lz4,
    /// Zlib.
    Zlib,
    /// Zstandard, at the level that its authors set.
    Zstd,
    /// Snappy.
    Snappy,
}

impl Compression {
    pub(crate) fn kind(self) -> CompressionType {
        match self {
            Compression::None => CompressionType::None,
            Compression::Lz4 => CompressionType::Lz4,
            Compression::Zlib => CompressionType::Zlib,
            Compression::Zstd => CompressionType::Zstd,
            Compression::Snappy => CompressionType::Snappy,
        }
    }

    /// Compresses a payload. An empty one stays empty, since compaction takes an entry by its stored size for a
    /// tombstone.
    pub(crate) fn compress(self, payload: Bytes) -> Result<Bytes> {
        if payload.is_empty() {
            return Ok(payload);
        }
        let compressed = match self {
            Compression::None => return Ok(payload),
            Compression::Lz4 => lz4_flex::block::compress(&payload),
            Compression::Zlib => read_all(ZlibEncoder::new(&payload[..], flate2::Compression::default()), usize::MAX)?,
            Compression::Zstd => zstd::bulk::compress(&payload, zstd::DEFAULT_COMPRESSION_LEVEL)
                .map_err(|error| Error::InvalidMessage(format!("cannot compress: {error}")))?,
            Compression::Snappy => snap::raw::Encoder::new()
                .compress_vec(&payload)
                .map_err(|error| Error::InvalidMessage(format!("cannot compress: {error}")))?,
        };
        Ok(compressed.into())
    }
}

/// Undoes the compression of `kind`; the result must have exactly `size` bytes.
pub(crate) fn decompress(kind: i32, payload: Bytes, size: usize) -> Result<Bytes> {
    let kind = CompressionType::try_from(kind).map_err(|_| Error::Damaged(format!("unknown compression {kind}")))?;
    if kind == CompressionType::None {
        return Ok(payload);
    }
    if payload.is_empty() && size == 0 {
        return Ok(payload);
    }
    let damaged = |error: Cow<'static, str>| Error::Damaged(format!("cannot decompress: {error}"));
    let plain = match kind {
        CompressionType::None => return Ok(payload),
        CompressionType::Lz4 => {
            lz4_flex::block::decompress(&payload, size).map_err(|error| damaged(error.to_string().into()))?
        }
        CompressionType::Zlib => read_all(ZlibDecoder::new(&payload[..]), size)?,
        CompressionType::Zstd => {
            zstd::bulk::decompress(&payload, size).map_err(|error| damaged(error.to_string().into()))?
        }
        CompressionType::Snappy => {
            let told = snap::raw::decompress_len(&payload).map_err(|error| damaged(error.to_string().into()))?;
            if told != size {
                return Err(damaged("it has another size than told".into()));
            }
            snap::raw::Decoder::new().decompress_vec(&payload).map_err(|error| damaged(error.to_string().into()))?
        }
    };
    if plain.len() != size {
        return Err(damaged("it has another size than told".into()));
    }
    Ok(plain.into())
}

/// Reads to the end, but only one byte beyond the limit.
fn read_all(from: impl Read, limit: usize) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    from.take((limit as u64).saturating_add(1))
        .read_to_end(&mut plain)
        .map_err(|error| Error::Damaged(format!("cannot decompress: {error}")))?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Compression; 5] =
        [Compression::None, Compression::Lz4, Compression::Zlib, Compression::Zstd, Compression::Snappy];

    #[test]
    fn a_payload_that_grows_beyond_what_was_told_is_refused() {
        for compression in &ALL[1..] {
            let bomb = compression.compress(vec![0u8; 1 << 20].into()).unwrap();
            for size in [0, 1, 1000, (1 << 20) - 1, (1 << 20) + 1] {
                let result = decompress(compression.kind() as i32, bomb.clone(), size);
                assert!(matches!(result, Err(Error::Damaged(_))), "{compression:?} {size}");
            }
        }
    }

    #[test]
    fn an_empty_payload_stays_empty() {
        for compression in ALL {
            let stored = compression.compress(Bytes::new()).unwrap();
            assert!(stored.is_empty());
            assert_eq!(decompress(compression.kind() as i32, stored, 0).unwrap(), Bytes::new());
        }
    }

    #[test]
    fn an_unknown_compression_is_an_error() {
        assert!(matches!(decompress(9, Bytes::from_static(b"x"), 1), Err(Error::Damaged(_))));
    }

    proptest! {
        #[test]
        fn decompressing_undoes_compressing(payload in proptest::collection::vec(0u8..4, 0..300)) {
            for compression in ALL {
                let stored = compression.compress(payload.clone().into()).unwrap();
                prop_assert_eq!(&decompress(compression.kind() as i32, stored, payload.len()).unwrap()[..], &payload[..]);
            }
        }

        #[test]
        fn any_bytes_are_decompressed_or_refused(
            payload in proptest::collection::vec(any::<u8>(), 0..100), kind in -1i32..6, size in 0usize..300,
        ) {
            if let Ok(plain) = decompress(kind, payload.into(), size) {
                prop_assert!(kind == 0 || plain.len() == size);
            }
        }
    }
}
