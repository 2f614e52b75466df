// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! What an import finds: the function's own files, packages among them, and the SDK.

use std::collections::HashMap;
use std::rc::Rc;

use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::Declared;
use rquickjs::{Ctx, Exception, Module, Result};

mod missing;
mod packages;

/// A file by its path, with its content.
pub(crate) type File = (String, Vec<u8>);

/// The module that everything begins with.
pub(crate) const ENGINE: &str = "<engine>/engine.js";

/// What the names of the SDK's own files begin with; no path of a function's file does.
const SDK: &str = "<functionstream>/";

/// What the name of a file ends with that is imported as text.
const AS_TEXT: &str = "#text";

macro_rules! sources {
    ($($start:literal $folder:literal: $($file:literal)*;)*) => {
        [$($((concat!($start, $file), include_str!(concat!($folder, $file))),)*)*]
    };
}

/// The files of the engine and of the SDK, but for its test kit.
const OWN: &[(&str, &str)] = &sources! {
    "<engine>/" "../js/": "advice.js" "clone.js" "engine.js" "globals.js" "inspect.js" "store.js";
    "<functionstream>/" "../../../sdks/javascript/src/":
        "codecs.js" "context.js" "driver.js" "errors.js" "frame.js" "function.js" "index.js" "numbers.js"
        "record.js" "states.js" "store.js" "text.js" "trace.js";
};

/// The files of a function.
pub(crate) struct Files {
    files: HashMap<String, Vec<u8>>,
}

impl Files {
    pub(crate) fn new(files: Vec<File>) -> Self {
        Files { files: files.into_iter().collect() }
    }

    fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// A line of a file, of which the first is 1.
    pub(crate) fn line(&self, file: &str, line: usize) -> Option<String> {
        let text = std::str::from_utf8(self.files.get(file)?).ok()?;
        text.lines().nth(line.checked_sub(1)?).map(str::to_owned)
    }

    /// The file that defines a class or a function of that name, without running any.
    pub(crate) fn defining(&self, name: &str) -> std::result::Result<&str, String> {
        let defines = |content: &[u8]| {
            let text = String::from_utf8_lossy(content);
            let mut words =
                text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$'))).filter(|word| !word.is_empty());
            let mut before = "";
            words.any(|word| {
                word == name && matches!(std::mem::replace(&mut before, word), "class" | "function") || {
                    before = word;
                    false
                }
            })
        };
        let mut found: Vec<_> = self
            .files
            .iter()
            .filter(|(path, content)| is_script(path) && !path.contains("node_modules/") && defines(content))
            .map(|(path, _)| &**path)
            .collect();
        found.sort_unstable();
        match &found[..] {
            [only] => Ok(only),
            [] => Err(format!("none of the files defines '{name}'")),
            all => {
                let files: Vec<_> = all.iter().map(|file| format!("'{file}'")).collect();
                Err(format!("{} files define '{name}': {}", all.len(), files.join(", ")))
            }
        }
    }

    /// The name of what an import means, or why it cannot be had.
    fn resolve(&self, ctx: &Ctx<'_>, base: &str, name: &str) -> std::result::Result<String, String> {
        if let Some((folder, _)) = base.split_once(">/").filter(|_| base.starts_with('<')) {
            let own = name.strip_prefix("./").map(|name| format!("{folder}>/{name}"));
            return Ok(own.unwrap_or_else(|| name.replace("functionstream/", SDK)));
        }
        if base.is_empty() {
            return Ok(name.to_owned());
        }
        if let Some(part) = name.strip_prefix("functionstream").filter(|part| part.is_empty() || part.starts_with('/'))
        {
            return match part {
                "" => Ok(format!("{SDK}index.js")),
                "/states" | "/codecs" => Ok(format!("<functionstream>{part}.js")),
                "/testing" => Err(format!("cannot import '{name}': it is for tests, which Node.js runs")),
                _ => Err(format!(
                    "cannot find '{name}', imported by '{base}': there are functionstream, /states and /codecs"
                )),
            };
        }
        let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
        if name.starts_with("./") || name.starts_with("../") {
            let path = joined(folder, name);
            let found = path.as_deref().and_then(|path| self.complete(path));
            return found.ok_or_else(|| self.missing(path.as_deref(), base, name));
        }
        missing::scheme(base, name)?;
        self.package(ctx, folder, name).unwrap_or_else(|| Err(missing::package(base, name)))
    }

    /// The file of a path, which may lack its end, or be a folder.
    fn complete(&self, path: &str) -> Option<String> {
        let ends = ["", ".js", ".mjs", "/index.js", "/index.mjs"];
        ends.into_iter().map(|end| format!("{path}{end}")).find(|path| self.has(path))
    }

    fn missing(&self, path: Option<&str>, base: &str, name: &str) -> String {
        let told = format!("cannot find '{name}', imported by '{base}'");
        match path {
            None => format!("{told}: it leads out of the function's folder"),
            Some(path)
                if [".ts", ".tsx"].iter().any(|end| self.has(&format!("{}{end}", path.trim_end_matches(".js")))) =>
            {
                format!("{told}: it is TypeScript; {}", missing::TYPESCRIPT)
            }
            Some(path) => format!("{told}: the function has no file '{path}'"),
        }
    }
}

fn is_script(path: &str) -> bool {
    path.ends_with(".js") || path.ends_with(".mjs")
}

/// A path from a folder on; none if it leads out.
fn joined(folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<_> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The files, for whoever loads modules.
pub(crate) struct Imports(pub(crate) Rc<Files>);

impl Resolver for Imports {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        attributes: Option<ImportAttributes<'js>>,
    ) -> Result<String> {
        let kind = attributes.map(|attributes| attributes.get_type()).transpose()?.flatten();
        let found = self.0.resolve(ctx, base, name).map_err(|why| Exception::throw_message(ctx, &why))?;
        Ok(if kind.as_deref() == Some("text") { found + AS_TEXT } else { found })
    }
}

impl Loader for Imports {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<Module<'js, Declared>> {
        if let Some((_, source)) = OWN.iter().find(|(own, _)| *own == name) {
            return declared(ctx, name, source);
        }
        let path = name.strip_suffix(AS_TEXT).unwrap_or(name);
        let content = self
            .0
            .files
            .get(path)
            .ok_or_else(|| Exception::throw_message(ctx, &format!("the function has no file '{path}'")))?;
        let text = std::str::from_utf8(content)
            .map_err(|_| Exception::throw_message(ctx, &format!("'{path}' is not UTF-8")))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let quoted = |text: &str| -> Result<String> {
            let text = rquickjs::String::from_str(ctx.clone(), text)?;
            ctx.json_stringify(text)?.map_or(Ok(String::new()), |json| json.to_string())
        };
        if path.len() < name.len() {
            return declared(ctx, name, &format!("export default {}", quoted(text)?));
        }
        match path.rsplit_once('.').map(|(_, end)| end) {
            Some("json") => declared(ctx, name, &format!("export default JSON.parse({})", quoted(text)?)),
            Some("js" | "mjs") if !missing::is_common_js(text) => declared(ctx, name, text),
            _ => Err(Exception::throw_message(ctx, &missing::unusable(path))),
        }
    }
}

fn declared<'js>(ctx: &Ctx<'js>, name: &str, source: &str) -> Result<Module<'js, Declared>> {
    let module = Module::declare(ctx.clone(), name, source)?;
    module.meta()?.set("url", name)?;
    Ok(module)
}
