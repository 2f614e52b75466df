// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Component types in the words of WIT, so that a wrong export is shown as it is beside what it should be.

use fnstream_core::{Error, ErrorCode, Result};
use wasmtime::Engine;
use wasmtime::component::types::{Component, ComponentFunc, ComponentInstance, ComponentItem, Type};

use crate::fault::bounded;

/// A function that a world exports: its name and its type without the names of its parameters.
pub(crate) type Export = (&'static str, &'static str);

/// Checks that a component, or one of its exported instances, has all of `wanted`.
pub(crate) fn check(engine: &Engine, component: &Component, instance: Option<&str>, wanted: &[Export]) -> Result<()> {
    let inside = match instance.map(|name| (name, component.get_export(engine, name).map(|found| found.ty))) {
        None => None,
        Some((_, Some(ComponentItem::ComponentInstance(inside)))) => Some(inside),
        Some((name, _)) => return Err(unsupported(format!("does not export the interface '{name}'"))),
    };
    for (name, signature) in wanted {
        let shown = instance.map_or_else(|| (*name).to_owned(), |instance| format!("{instance}#{name}"));
        match export(engine, component, inside.as_ref(), name) {
            Some(ComponentItem::ComponentFunc(func)) => {
                let found = describe(&func);
                if found != *signature {
                    return Err(unsupported(format!("exports '{shown}' as {found}, not as {signature}")));
                }
            }
            Some(_) => return Err(unsupported(format!("exports '{shown}', but not as a function"))),
            None => return Err(unsupported(format!("does not export '{shown}: {signature}'"))),
        }
    }
    Ok(())
}

fn export(engine: &Engine, outer: &Component, inside: Option<&ComponentInstance>, name: &str) -> Option<ComponentItem> {
    match inside {
        Some(inside) => inside.get_export(engine, name).map(|found| found.ty),
        None => outer.get_export(engine, name).map(|found| found.ty),
    }
}

/// An artifact that no kind takes. `what` goes on from "the artifact".
pub(crate) fn unsupported(what: String) -> Error {
    Error::new(ErrorCode::ArtifactUnsupported, bounded(format!("the artifact {what}")))
}

/// The longest description: far longer than any type that is wanted. A type may be of a few bytes and yet have millions of
/// parts, since each may be used by many others.
const LONGEST: usize = 1 << 10;

fn describe(func: &ComponentFunc) -> String {
    let mut out = if func.async_() { "async func(" } else { "func(" }.to_owned();
    join(&mut out, func.params().map(|(_, ty)| ty));
    out.push(')');
    let mut results = func.results().peekable();
    if results.peek().is_some() {
        out.push_str(" -> ");
        join(&mut out, results);
    }
    if out.len() >= LONGEST {
        out.truncate(out.floor_char_boundary(LONGEST));
        out.push_str(" …");
    }
    out
}

fn join(out: &mut String, types: impl Iterator<Item = Type>) {
    for (i, ty) in types.enumerate() {
        if out.len() >= LONGEST {
            return;
        }
        if i > 0 {
            out.push_str(", ");
        }
        write(out, &ty);
    }
}

fn write(out: &mut String, ty: &Type) {
    let fields = |out: &mut String, name: &str, fields: &mut dyn Iterator<Item = (String, Option<Type>)>| {
        out.push_str(name);
        out.push('{');
        for (i, (name, ty)) in fields.enumerate() {
            if out.len() >= LONGEST {
                return;
            }
            out.push_str(if i > 0 { ", " } else { "" });
            out.push_str(&name);
            if let Some(ty) = ty {
                out.push_str(": ");
                write(out, &ty);
            }
        }
        out.push('}');
    };
    match ty {
        Type::Bool => out.push_str("bool"),
        Type::S8 => out.push_str("s8"),
        Type::U8 => out.push_str("u8"),
        Type::S16 => out.push_str("s16"),
        Type::U16 => out.push_str("u16"),
        Type::S32 => out.push_str("s32"),
        Type::U32 => out.push_str("u32"),
        Type::S64 => out.push_str("s64"),
        Type::U64 => out.push_str("u64"),
        Type::Float32 => out.push_str("f32"),
        Type::Float64 => out.push_str("f64"),
        Type::Char => out.push_str("char"),
        Type::String => out.push_str("string"),
        Type::List(list) => generic(out, "list", [Some(list.ty())]),
        Type::Option(option) => generic(out, "option", [Some(option.ty())]),
        Type::Result(result) => match (result.ok(), result.err()) {
            (None, None) => out.push_str("result"),
            (ok, None) => generic(out, "result", [ok]),
            (ok, err) => generic(out, "result", [ok, err]),
        },
        Type::Tuple(tuple) => {
            out.push_str("tuple<");
            join(out, tuple.types());
            out.push('>');
        }
        Type::Record(record) => {
            fields(out, "record", &mut record.fields().map(|field| (field.name.to_owned(), Some(field.ty))));
        }
        Type::Variant(variant) => {
            fields(out, "variant", &mut variant.cases().map(|case| (case.name.to_owned(), case.ty)));
        }
        Type::Enum(names) => fields(out, "enum", &mut names.names().map(|name| (name.to_owned(), None))),
        Type::Flags(names) => fields(out, "flags", &mut names.names().map(|name| (name.to_owned(), None))),
        Type::Own(_) => out.push_str("own<resource>"),
        Type::Borrow(_) => out.push_str("borrow<resource>"),
        // Nothing that our worlds have.
        other => out.push_str(&format!("{other:?}")),
    }
}

fn generic<const N: usize>(out: &mut String, name: &str, types: [Option<Type>; N]) {
    out.push_str(name);
    out.push('<');
    for (i, ty) in types.into_iter().enumerate() {
        if out.len() >= LONGEST {
            return;
        }
        out.push_str(if i > 0 { ", " } else { "" });
        match ty {
            Some(ty) => write(out, &ty),
            None => out.push('_'),
        }
    }
    out.push('>');
}
