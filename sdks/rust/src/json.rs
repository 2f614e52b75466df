// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Encode, Error, Value};

/// A state value that is stored as JSON, which has no order.
///
/// Write `Json<Profile>` where a state's type is named, and `Json(profile)` where a value is given. For other SDKs to read it, the
/// fields need the names that these use.
///
/// ```
/// use fnstream_sdk::{Json, Value};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Profile {
///     name: String,
/// }
///
/// let profile = Json::<Profile>::decode(br#"{"name":"alice"}"#).unwrap();
/// assert_eq!(profile.name, "alice");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Json<T>(pub T);

impl<T: Serialize> Encode for Json<T> {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        Ok(serde_json::to_writer(out, &self.0)?)
    }
}

impl<T: Serialize + DeserializeOwned> Value for Json<T> {
    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        Ok(Json(serde_json::from_slice(bytes)?))
    }
}

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
