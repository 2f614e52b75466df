// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use crate::Error;

/// A type that has an encoding in state: every [`Value`], and the borrowed forms `str` and `[u8]`, by which a key is looked up.
///
/// A borrowed form has the encoding of the value that it is borrowed from.
pub trait Encode {
    /// Appends the encoded form.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error>;
}

/// A type that can be a state key or value.
///
/// All SDKs use the same encodings, so a state that one language wrote is read by another:
///
/// | type | bytes | ordered |
/// | --- | --- | --- |
/// | `bool` | one byte, 0 or 1 | yes |
/// | `u8` … `u64` | big-endian | yes |
/// | `i8` … `i64` | big-endian, with the sign bit flipped | yes |
/// | `usize`, `isize` | as `u64`, `i64` | yes |
/// | `f32`, `f64` | the bits, big-endian: all inverted if negative, else with the sign bit flipped | yes |
/// | `String` | UTF-8, as it is | yes |
/// | `Vec<u8>`, `[u8; N]` | as they are | yes |
/// | [`Json<T>`](crate::Json) | JSON | no |
///
/// A type of your own is a value by an encoding of its own, or as [`Json`](crate::Json).
///
/// ```
/// use fnstream_sdk::{Encode, Error, Ordered, Value};
///
/// struct UserId(u64);
///
/// impl Encode for UserId {
///     fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
///         self.0.encode(out)
///     }
/// }
///
/// impl Value for UserId {
///     const FIXED_SIZE: Option<usize> = u64::FIXED_SIZE;
///
///     fn decode(bytes: &[u8]) -> Result<Self, Error> {
///         u64::decode(bytes).map(UserId)
///     }
/// }
///
/// impl Ordered for UserId {}
/// ```
pub trait Value: Encode + Sized {
    /// The size of every encoding in bytes, if there is one such size. It decides how lists are stored, so it must stay.
    const FIXED_SIZE: Option<usize> = None;

    /// Reads the encoded form.
    fn decode(bytes: &[u8]) -> Result<Self, Error>;
}

/// A type whose encodings have the order of its values: the bytes of a smaller value come before those of a larger one.
///
/// Among floats, -0 comes before 0, a NaN after everything else, and a NaN with the sign bit set before everything else.
///
/// ```
/// use fnstream_sdk::Encode;
///
/// let encoded = |n: i32| { let mut out = Vec::new(); n.encode(&mut out).unwrap(); out };
/// assert!(encoded(-5) < encoded(-1) && encoded(-1) < encoded(7));
/// ```
pub trait Ordered: Encode {}

/// Refuses bytes that another type has written.
fn exact<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| Error::new(format!("{} bytes are no encoded {what}, which has {N}", bytes.len())))
}

macro_rules! unsigned {
    ($($ty:ty),*) => {$(
        impl Encode for $ty {
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
                out.extend_from_slice(&self.to_be_bytes());
                Ok(())
            }
        }

        impl Value for $ty {
            const FIXED_SIZE: Option<usize> = Some(size_of::<$ty>());

            fn decode(bytes: &[u8]) -> Result<Self, Error> {
                exact(bytes, stringify!($ty)).map(<$ty>::from_be_bytes)
            }
        }

        impl Ordered for $ty {}
    )*};
}

macro_rules! signed {
    ($($ty:ty as $bits:ty),*) => {$(
        impl Encode for $ty {
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
                ((*self as $bits) ^ (1 << (<$bits>::BITS - 1))).encode(out)
            }
        }

        impl Value for $ty {
            const FIXED_SIZE: Option<usize> = Some(size_of::<$ty>());

            fn decode(bytes: &[u8]) -> Result<Self, Error> {
                let bits = exact(bytes, stringify!($ty)).map(<$bits>::from_be_bytes)?;
                Ok((bits ^ (1 << (<$bits>::BITS - 1))) as $ty)
            }
        }

        impl Ordered for $ty {}
    )*};
}

/// Numbers whose size differs between machines have that of 64 bits in state.
macro_rules! of_machine {
    ($($ty:ty as $wide:ty),*) => {$(
        impl Encode for $ty {
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
                (*self as $wide).encode(out)
            }
        }

        impl Value for $ty {
            const FIXED_SIZE: Option<usize> = <$wide>::FIXED_SIZE;

            fn decode(bytes: &[u8]) -> Result<Self, Error> {
                let wide = <$wide>::decode(bytes)?;
                <$ty>::try_from(wide).map_err(|_| Error::new(format!("{wide} is beyond {} here", stringify!($ty))))
            }
        }

        impl Ordered for $ty {}
    )*};
}

macro_rules! float {
    ($($ty:ty as $bits:ty),*) => {$(
        impl Encode for $ty {
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                let bits = self.to_bits();
                (if bits & SIGN == 0 { bits ^ SIGN } else { !bits }).encode(out)
            }
        }

        impl Value for $ty {
            const FIXED_SIZE: Option<usize> = Some(size_of::<$ty>());

            fn decode(bytes: &[u8]) -> Result<Self, Error> {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                let bits = exact(bytes, stringify!($ty)).map(<$bits>::from_be_bytes)?;
                Ok(<$ty>::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN }))
            }
        }

        impl Ordered for $ty {}
    )*};
}

unsigned!(u8, u16, u32, u64);
signed!(i8 as u8, i16 as u16, i32 as u32, i64 as u64);
of_machine!(usize as u64, isize as i64);
float!(f32 as u32, f64 as u64);

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.push((*self).into());
        Ok(())
    }
}

impl Value for bool {
    const FIXED_SIZE: Option<usize> = Some(1);

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        match exact(bytes, "bool")? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Error::new(format!("the byte {other} is no encoded bool"))),
        }
    }
}

impl Ordered for bool {}

impl Encode for [u8] {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.extend_from_slice(self);
        Ok(())
    }
}

impl Ordered for [u8] {}

/// Bytes of that number, as they are.
impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        self[..].encode(out)
    }
}

impl<const N: usize> Value for [u8; N] {
    const FIXED_SIZE: Option<usize> = Some(N);

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        bytes.try_into().map_err(|_| Error::new(format!("{N} bytes were expected, not {}", bytes.len())))
    }
}

impl<const N: usize> Ordered for [u8; N] {}

impl Encode for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        self[..].encode(out)
    }
}

impl Value for Vec<u8> {
    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Ok(bytes.to_vec())
    }
}

impl Ordered for Vec<u8> {}

impl Encode for str {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.as_bytes().encode(out)
    }
}

impl Ordered for str {}

impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.as_bytes().encode(out)
    }
}

impl Value for String {
    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

impl Ordered for String {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn ordered<T: Value + Ordered + PartialEq + std::fmt::Debug>(ascending: &[T]) {
        let encoded: Vec<Vec<u8>> = ascending
            .iter()
            .map(|value| {
                let mut out = Vec::new();
                value.encode(&mut out).unwrap();
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
        ordered(&[isize::MIN, -1, 0, isize::MAX]);
        ordered(&[f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-300, 2.0, f64::INFINITY]);
        ordered(&[f32::MIN, -1.0, 0.5, f32::MAX]);
        ordered(&[false, true]);
        ordered(&[String::new(), "a".into(), "b".into()]);
    }

    #[test]
    fn wrong_lengths_are_errors() {
        assert!(u64::decode(&[1]).is_err());
        assert!(<[u8; 4]>::decode(&[1]).is_err());
        assert_eq!(<[u8; 2]>::decode(&[1, 2]).unwrap(), [1, 2]);
        assert!(bool::decode(&[2]).is_err());
        assert!(bool::decode(&[0, 0]).is_err());
        assert!(String::decode(&[0xff]).is_err());
    }
}
