// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Packages in `node_modules`, as far as functions need them: where package.json says that their modules are.

use rquickjs::{Ctx, Object, Value};

use super::{Files, joined, missing};

/// Which of several builds is meant, the first before the others.
const CONDITIONS: [&str; 3] = ["import", "module", "default"];

impl Files {
    /// The file of a package, or of a part of it, seen from a folder; none if the package is not there.
    pub(super) fn package(&self, ctx: &Ctx<'_>, folder: &str, name: &str) -> Option<Result<String, String>> {
        let parts = if name.starts_with('@') { 2 } else { 1 };
        let end = name.match_indices('/').nth(parts - 1).map_or(name.len(), |(at, _)| at);
        let (package, part) = (&name[..end], &name[end..]);
        let mut folder = folder;
        loop {
            let root = if folder.is_empty() { String::new() } else { format!("{folder}/") } + "node_modules/" + package;
            if self.files.keys().any(|path| path.strip_prefix(&*root).is_some_and(|rest| rest.starts_with('/'))) {
                let found = self.within(ctx, &root, part);
                return Some(found.ok_or_else(|| format!("the package '{package}' has no module '{name}'")).and_then(
                    |path| {
                        if path.ends_with(".cjs") { Err(missing::unusable(&path)) } else { Ok(path) }
                    },
                ));
            }
            if folder.is_empty() {
                return None;
            }
            folder = folder.rsplit_once('/').map_or("", |(outer, _)| outer);
        }
    }

    fn within(&self, ctx: &Ctx<'_>, root: &str, part: &str) -> Option<String> {
        let file = |path: &str| joined(root, path).and_then(|path| self.complete(&path));
        let about = self.files.get(&format!("{root}/package.json"));
        let about: Option<Object<'_>> = about.and_then(|json| ctx.json_parse(json.clone()).ok()?.into_object());
        let Some(about) = about else {
            return file(&format!(".{}", if part.is_empty() { "/index.js" } else { part }));
        };
        let exports: Option<Value<'_>> =
            about.get("exports").ok().filter(|exports: &Value<'_>| !exports.is_undefined());
        if let Some(exports) = exports {
            return file(&exported(exports, &format!(".{part}"))?);
        }
        if !part.is_empty() {
            return file(&format!(".{part}"));
        }
        let main = ["module", "main"].iter().find_map(|key| about.get::<_, Option<String>>(*key).ok().flatten());
        file(&main.unwrap_or_else(|| "index.js".to_owned()))
    }
}

/// What `exports` says of a part, such as `.` or `./part`.
fn exported(exports: Value<'_>, part: &str) -> Option<String> {
    let Some(object) = exports.as_object().filter(|object| has_parts(object)) else {
        return if part == "." { chosen(exports) } else { None };
    };
    if let Some(value) = object.get::<_, Option<Value<'_>>>(part).ok().flatten() {
        return chosen(value);
    }
    object.keys::<String>().flatten().find_map(|pattern| {
        let (start, end) = pattern.split_once('*')?;
        let matched = part.strip_prefix(start)?.strip_suffix(end)?;
        Some(chosen(object.get(&*pattern).ok()?)?.replace('*', matched))
    })
}

fn has_parts(object: &Object<'_>) -> bool {
    object.keys::<String>().flatten().any(|key| key.starts_with('.'))
}

/// The path of a choice: text, or an object of conditions.
fn chosen(value: Value<'_>) -> Option<String> {
    if let Some(text) = value.as_string() {
        return text.to_string().ok();
    }
    let object = value.into_object()?;
    CONDITIONS.iter().find_map(|condition| chosen(object.get::<_, Option<Value<'_>>>(*condition).ok()??))
}
