// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Schemas, as the broker's registry keeps them.

use bytes::Bytes;

use crate::proto;

/// A schema of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// What kind of schema it is.
    pub kind: SchemaKind,
    /// The definition, in the form of its kind: JSON for Avro and JSON, empty for primitive types.
    pub data: Bytes,
    /// Pairs of the application's own.
    pub properties: Vec<(String, String)>,
}

impl Schema {
    /// A schema without properties.
    pub fn new(kind: SchemaKind, name: impl Into<String>, data: impl Into<Bytes>) -> Schema {
        Schema { name: name.into(), kind, data: data.into(), properties: Vec::new() }
    }

    pub(crate) fn to_wire(&self) -> proto::Schema {
        proto::Schema {
            name: self.name.clone(),
            schema_data: self.data.clone(),
            r#type: self.kind.0,
            properties: proto::pairs(&self.properties),
        }
    }

    pub(crate) fn of_wire(schema: proto::Schema) -> Schema {
        Schema {
            name: schema.name,
            kind: SchemaKind(schema.r#type),
            data: schema.schema_data,
            properties: schema.properties.into_iter().map(|pair| (pair.key, pair.value)).collect(),
        }
    }
}

/// A kind of schema, by its number in the protocol. Brokers may know more kinds than are named here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SchemaKind(pub i32);

#[allow(missing_docs, reason = "the names say it")]
impl SchemaKind {
    pub const NONE: SchemaKind = SchemaKind(0);
    pub const STRING: SchemaKind = SchemaKind(1);
    pub const JSON: SchemaKind = SchemaKind(2);
    pub const PROTOBUF: SchemaKind = SchemaKind(3);
    pub const AVRO: SchemaKind = SchemaKind(4);
    pub const BOOL: SchemaKind = SchemaKind(5);
    pub const INT8: SchemaKind = SchemaKind(6);
    pub const INT16: SchemaKind = SchemaKind(7);
    pub const INT32: SchemaKind = SchemaKind(8);
    pub const INT64: SchemaKind = SchemaKind(9);
    pub const FLOAT: SchemaKind = SchemaKind(10);
    pub const DOUBLE: SchemaKind = SchemaKind(11);
    pub const DATE: SchemaKind = SchemaKind(12);
    pub const TIME: SchemaKind = SchemaKind(13);
    pub const TIMESTAMP: SchemaKind = SchemaKind(14);
    pub const KEY_VALUE: SchemaKind = SchemaKind(15);
    pub const INSTANT: SchemaKind = SchemaKind(16);
    pub const LOCAL_DATE: SchemaKind = SchemaKind(17);
    pub const LOCAL_TIME: SchemaKind = SchemaKind(18);
    pub const LOCAL_DATE_TIME: SchemaKind = SchemaKind(19);
    pub const PROTOBUF_NATIVE: SchemaKind = SchemaKind(20);
}
