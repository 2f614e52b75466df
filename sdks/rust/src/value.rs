// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use crate::Error;

/// A type that can be a state key or value.
///
/// All SDKs use the same encodings, and they keep order: the bytes of a smaller number come before those of a larger one, so
/// numbers can be keys of scans. Integers are big-endian, signed ones with the sign bit flipped. Floats are their bits, all
/// inverted if negative, else with the sign bit flipped. A `bool` is one byte. Strings and byte vectors are themselves.
///
/// ```
/// use fnstream_sdk::Value;
///
/// let encoded = |n: i32| { let mut out = Vec::new(); n.encode(&mut out); out };
/// assert!(encoded(-5) < encoded(-1) && encoded(-1) < encoded(7));
/// assert_eq!(i32::decode(&encoded(-5)).unwrap(), -5);
/// ```
pub trait Value: Sized {
    /// Appends the encoded form.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads the encoded form.
    fn decode(bytes: &[u8]) -> Result<Self, Error>;
}

fn exact<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| Error::new(format!("{what} takes {N} bytes, not {}", bytes.len())))
}

macro_rules! unsigned {
    ($($ty:ty),*) => {$(
        impl Value for $ty {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn decode(bytes: &[u8]) -> Result<Self, Error> {
                exact(bytes, stringify!($ty)).map(<$ty>::from_be_bytes)
            }
        }
    )*};
}

macro_rules! signed {
    ($($ty:ty as $bits:ty),*) => {$(
        impl Value for $ty {
            fn encode(&self, out: &mut Vec<u8>) {
                ((*self as $bits) ^ (1 << (<$bits>::BITS - 1))).encode(out);
            }

            fn decode(bytes: &[u8]) -> Result<Self, Error> {
                let bits = exact(bytes, stringify!($ty)).map(<$bits>::from_be_bytes)?;
                Ok((bits ^ (1 << (<$bits>::BITS - 1))) as $ty)
            }
        }
    )*};
}

macro_rules! float {
    ($($ty:ty as $bits:ty),*) => {$(
        impl Value for $ty {
            fn encode(&self, out: &mut Vec<u8>) {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                let bits = self.to_bits();
                (if bits & SIGN == 0 { bits ^ SIGN } else { !bits }).encode(out);
            }

            fn decode(bytes: &[u8]) -> Result<Self, Error> {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                let bits = exact(bytes, stringify!($ty)).map(<$bits>::from_be_bytes)?;
                Ok(<$ty>::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN }))
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64);
signed!(i8 as u8, i16 as u16, i32 as u32, i64 as u64);
float!(f32 as u32, f64 as u64);

impl Value for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push((*self).into());
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Error::new("bool takes one byte, 0 or 1")),
        }
    }
}

/// Bytes of that number, as they are.
impl<const N: usize> Value for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        bytes.try_into().map_err(|_| Error::new(format!("{N} bytes were expected, not {}", bytes.len())))
    }
}

impl Value for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Ok(bytes.to_vec())
    }
}

impl Value for String {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn ordered<T: Value + PartialEq + std::fmt::Debug>(ascending: &[T]) {
        let encoded: Vec<Vec<u8>> = ascending
            .iter()
            .map(|value| {
                let mut out = Vec::new();
                value.encode(&mut out);
                assert_eq!(T::decode(&out).unwrap(), *value);
                out
            })
            .collect();
        assert!(encoded.is_sorted_by(|a, b| a < b), "{ascending:?}");
    }

    #[test]
    fn byte_order_is_value_order() {
        ordered(&[0u8, 1, 255]);
        ordered(&[0u64, 1, 256, u64::MAX]);
        ordered(&[i64::MIN, -256, -1, 0, 1, i64::MAX]);
        ordered(&[f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-300, 2.0, f64::INFINITY]);
        ordered(&[f32::MIN, -1.0, 0.5, f32::MAX]);
        ordered(&[false, true]);
        ordered(&[String::new(), "a".into(), "b".into()]);
    }

    /// The bytes that all SDKs write.
    #[test]
    fn encodings_are_those_of_all_sdks() {
        let bytes = |value: i32| {
            let mut out = Vec::new();
            value.encode(&mut out);
            out
        };
        assert_eq!(bytes(1), [0x80, 0, 0, 1]);
        assert_eq!(bytes(-1), [0x7f, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn wrong_lengths_are_errors() {
        assert!(u64::decode(&[1]).is_err());
        assert!(<[u8; 4]>::decode(&[1]).is_err());
        assert_eq!(<[u8; 2]>::decode(&[1, 2]).unwrap(), [1, 2]);
        assert!(bool::decode(&[2]).is_err());
        assert!(String::decode(&[0xff]).is_err());
    }
}
