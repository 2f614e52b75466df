// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! One layer of settings over another.

use fnstream_core::ErrorCode;

use super::effective::{Effective, Origin, Setting};
use super::keys::{FLAGS, GRPC_FLAG, GRPC_LISTEN, GRPC_VARIABLE, SERVER, VARIABLES};
use super::{
    AutoCreateSetting, DurabilitySetting, KafkaSettings, LogFormat, LoggingSettings, NetworkSettings, PulsarSettings,
    SERVER_DEFAULTS, SafeStartSetting, ServerSettings, Sources,
};
use crate::hint;
use crate::key::{Key, Kind};
use crate::problem::{Place, Problem, Problems, Severity, in_order};
use crate::read::{Reader, parsed};
use crate::tree;
use crate::value::{At, Block, Value};

/// The prefix of the names of variables.
const PREFIX: &str = "FUNCTION_STREAM_";
/// Variables that are no settings of a server: they say where settings are, and which server a client talks to.
const NOT_SETTINGS: [&str; 3] = ["FUNCTION_STREAM_CONF", "FUNCTION_STREAM_HOME", "FUNCTION_STREAM_URL"];
/// Goes before everything, as wherever it is known.
const RUST_LOG: &str = "RUST_LOG";

pub(super) fn merge(sources: &Sources<'_>) -> Result<(ServerSettings, Effective, Vec<Problem>), Problems> {
    let mut layers = Layers { effective: defaults()?, problems: Vec::new() };
    let name = sources.file.map_or("", |(name, _)| name);
    if let Some((name, bytes)) = sources.file {
        layers.file(name, bytes);
    }
    layers.variables(sources.variables);
    for flag in sources.flags {
        if flag.path == GRPC_LISTEN {
            flag.values.iter().for_each(|text| layers.grpc_listen(text, &Origin::Flag(GRPC_FLAG)));
            continue;
        }
        let name = FLAGS.iter().find(|(path, _)| *path == flag.path).map_or("", |(_, name)| name);
        layers.given(flag.path, &flag.values, Origin::Flag(name));
    }
    layers.last(sources.variables);
    let Layers { effective, mut problems } = layers;
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(Problems::new(ErrorCode::InvalidConfig, problems).named(name));
    }
    in_order(&mut problems);
    Ok((typed(&effective, sources), effective, problems))
}

/// Every setting with its default, in the order of the table.
fn defaults() -> Result<Effective, Problems> {
    let broken = |problems| Problems::new(ErrorCode::Internal, problems).named("defaults.yaml");
    let root = tree::parse(SERVER_DEFAULTS.as_bytes()).map_err(broken)?;
    let mut reader = Reader::default();
    let file = root.map_or_else(|| Block::empty(Place::START), |root| reader.root(&root, SERVER));
    if !reader.problems.is_empty() {
        return Err(broken(reader.problems));
    }
    let value = |section: &str, key: &Key| file.block(section)?.get(key.name).map(|at| at.value.clone());
    let settings = sections().flat_map(|(section, keys)| {
        let keys = keys.iter().filter(|key| key.idle.is_none());
        keys.map(move |key| (section, key))
    });
    let settings = settings
        .map(|(section, key)| Setting {
            section,
            key,
            value: value(section, key),
            origin: Origin::Default,
            bound: None,
        })
        .collect();
    Ok(Effective { settings })
}

/// The blocks of the table.
pub(super) fn sections() -> impl Iterator<Item = (&'static str, &'static [Key])> {
    SERVER.iter().filter_map(|section| match section.kind {
        Kind::Block(keys) => Some((section.name, *keys)),
        _ => None,
    })
}

struct Layers {
    effective: Effective,
    problems: Vec<Problem>,
}

impl Layers {
    fn file(&mut self, name: &str, bytes: &[u8]) {
        let root = match tree::parse(bytes) {
            // A file without a setting is that of a server with the defaults.
            Ok(None) => return,
            Ok(Some(root)) => root,
            Err(problems) => return self.problems.extend(problems),
        };
        let mut reader = Reader::default();
        let file: Block = reader.root(&root, SERVER);
        self.problems.append(&mut reader.problems);
        for setting in &mut self.effective.settings {
            let block = file.block(setting.section);
            if let Some(At { place, value }) = block.and_then(|block| block.get(setting.key.name)) {
                setting.value = Some(value.clone());
                setting.origin = Origin::File(name.to_owned(), *place);
            }
        }
    }

    fn variables(&mut self, variables: &[(String, String)]) {
        for (name, text) in variables {
            if name == GRPC_VARIABLE && !text.is_empty() {
                self.grpc_listen(text, &Origin::Variable(name.clone()));
            } else if let Some((path, _)) = VARIABLES.iter().find(|(_, variable)| variable == name) {
                // An empty one is as good as none, as it was.
                if !text.is_empty() {
                    self.variable(name, path, text);
                }
            } else if name.starts_with(PREFIX) && !NOT_SETTINGS.contains(&name.as_str()) {
                let all = sections().flat_map(|(section, keys)| keys.iter().map(move |key| (section, key)));
                let found =
                    all.map(|(section, key)| format!("{section}.{}", key.name)).find(|path| variable(path) == *name);
                match found {
                    Some(path) => self.variable(name, &path, text),
                    None => self.unknown_variable(name),
                }
            }
        }
    }

    fn variable(&mut self, name: &str, path: &str, text: &str) {
        let idle = sections().find_map(|(section, keys)| {
            let key = path.strip_prefix(section)?.strip_prefix('.')?;
            keys.iter().find(|known| known.name == key)?.idle
        });
        if let Some(why) = idle {
            let message = format!("'{path}' has no effect: {why}");
            return self.problems.push(Problem::note(Place::START, message).of(name));
        }
        let separator = match self.effective.find(path).key.kind {
            Kind::List(Kind::Path, ..) => Some(':'),
            // Addresses have colons of their own.
            Kind::List(..) => Some(','),
            _ => None,
        };
        let values: Vec<_> = match separator {
            Some(separator) => text.split(separator).filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            None => vec![text.to_owned()],
        };
        self.given(path, &values, Origin::Variable(name.to_owned()));
    }

    /// Takes the address of gRPC, in one text.
    fn grpc_listen(&mut self, text: &str, origin: &Origin) {
        let given: &[(&str, &str)] = match text.rsplit_once(':') {
            _ if text == "none" => &[("service.grpc", "false")],
            // Without a host: all addresses of the machine, as for REST.
            Some(("", port)) => &[("service.grpc", "true"), ("service.host", "0.0.0.0"), ("service.port", port)],
            Some((host, port)) => &[("service.grpc", "true"), ("service.host", host), ("service.port", port)],
            None => {
                let message = format!("{} is neither host:port nor none", hint::quoted(text));
                return self.problems.push(Problem::error(Place::START, message).of(origin.name()));
            }
        };
        for (path, text) in given {
            self.given(path, &[(*text).to_owned()], origin.clone());
        }
    }

    /// A variable of ours that sets nothing may be meant for a newer version, so it is no error.
    fn unknown_variable(&mut self, name: &str) {
        let names: Vec<_> = self.effective.settings.iter().map(|setting| variable(&setting.path())).collect();
        let near = hint::nearest(name, names.iter().map(String::as_str));
        let hint = near.map(|near| format!("did you mean '{near}'?"));
        let note = Problem::note(Place::START, "there is no setting of this name").of(name);
        self.problems.push(Problem { hint, ..note });
    }

    /// Sets a setting to what was given as text.
    fn given(&mut self, path: &str, texts: &[String], origin: Origin) {
        let Some(setting) = self.effective.settings.iter_mut().find(|setting| setting.path() == path) else { return };
        let read = |kind, text: &String| {
            parsed(path, text, kind)
                .map_err(|(message, hint)| Problem { hint, ..Problem::error(Place::START, message).of(origin.name()) })
        };
        let value = match (setting.key.kind, texts) {
            (Kind::List(of, ..), texts) => texts
                .iter()
                .map(|text| Ok(At { place: Place::START, value: read(of, text)? }))
                .collect::<Result<_, _>>()
                .map(Value::List),
            (kind, [text, ..]) => read(kind, text),
            (_, []) => return,
        };
        match value {
            Ok(value) => {
                setting.value = Some(value);
                setting.origin = origin;
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Applies what goes before everything else, or follows from it.
    fn last(&mut self, variables: &[(String, String)]) {
        let debug = self.effective.find("service.debug");
        if self.effective.is("service.debug") && *self.effective.find("logging.level").origin() == Origin::Default {
            let origin = debug.origin.clone();
            self.given("logging.level", &["debug".to_owned()], origin);
        }
        if let Some((_, level)) = variables.iter().find(|(name, level)| name == RUST_LOG && !level.is_empty()) {
            self.given("logging.level", std::slice::from_ref(level), Origin::Variable(RUST_LOG.to_owned()));
        }
    }
}

/// The variable for a setting.
fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "_").to_ascii_uppercase())
}

/// The settings as types. Each has a default or may be missing, and the table has seen to bounds.
fn typed(settings: &Effective, sources: &Sources<'_>) -> ServerSettings {
    let text = |path| settings.string(path).unwrap_or_default().to_owned();
    let data_dir = settings.file("state_storage.base_dir", sources.home).unwrap_or_default();
    let cache_dir = settings.file("wasm.cache_dir", sources.home).unwrap_or_else(|| data_dir.join("cache"));
    let (host, port) = (text("service.host"), settings.number("service.port").unwrap_or_default());
    // An address of IPv6 has colons of its own.
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    ServerSettings {
        grpc_listen: settings.is("service.grpc").then(|| format!("{host}:{port}")),
        workers: settings.fitting("service.workers"),
        worker_multiplier: settings.fitting("service.worker_multiplier").unwrap_or(1),
        safe_start: match settings.string("service.safe_start") {
            Some("always") => SafeStartSetting::Always,
            Some("never") => SafeStartSetting::Never,
            _ => SafeStartSetting::Auto,
        },
        allowed_hosts: settings.texts("service.allowed_hosts"),
        allowed_origins: settings.texts("service.allowed_origins"),
        local_paths: settings.is("service.local_paths"),
        rest_listen: text("rest.listen"),
        network: NetworkSettings {
            max_connections: settings.fitting("network.max_connections"),
            max_waiting: settings.fitting("network.max_waiting_consumers"),
            head_timeout: settings.duration("network.head_timeout").unwrap_or_default(),
            body_timeout: settings.duration("network.body_timeout").unwrap_or_default(),
            answer_timeout: settings.duration("network.answer_timeout").unwrap_or_default(),
            idle_timeout: settings.duration("network.idle_timeout").unwrap_or_default(),
        },
        memory: settings.number("memory.budget"),
        max_produce_bytes: settings.number("rest.max_produce_size").unwrap_or_default(),
        max_artifact_bytes: settings.number("rest.max_artifact_size").unwrap_or_default(),
        logging: LoggingSettings {
            level: text("logging.level"),
            format: match settings.string("logging.format") {
                Some("json") => LogFormat::Json,
                Some("pretty") => LogFormat::Pretty,
                _ => LogFormat::Text,
            },
            file: settings.file("logging.file_path", sources.home),
            max_file_bytes: settings.number("logging.max_file_size").unwrap_or_default(),
            max_files: settings.fitting("logging.max_files").unwrap_or(1),
        },
        group_reads: settings.string("state_storage.access") == Some("group"),
        durability: match settings.string("state_storage.durability") {
            Some("sync") => DurabilitySetting::Sync,
            Some("os") => DurabilitySetting::Os,
            _ => DurabilitySetting::Group,
        },
        dirty_keys: settings.number("state_storage.dirty_keys"),
        recovery_timeout: settings.duration("state_storage.recovery_timeout").filter(|time| !time.is_zero()),
        scrub_rate: settings.number("state_storage.scrub_rate").filter(|_| settings.is("state_storage.scrub")),
        retention_age: settings.duration("retention.max_age"),
        retention_bytes: settings.number("retention.max_bytes"),
        auto_create: match settings.string("topics.auto_create") {
            Some("functions") => AutoCreateSetting::Functions,
            Some("off") => AutoCreateSetting::Off,
            _ => AutoCreateSetting::On,
        },
        kafka: KafkaSettings {
            bootstrap: text("kafka.bootstrap_servers"),
            group: text("kafka.group"),
            advertised: settings.string("kafka.advertised").map(str::to_owned),
            session_timeout: settings.duration("kafka.session_timeout").unwrap_or_default(),
            partitions: settings.fitting("kafka.partitions"),
            replication: settings.fitting("kafka.replication"),
            properties: settings.texts("kafka.properties"),
        },
        pulsar: PulsarSettings {
            service_url: text("pulsar.service_url"),
            group: text("pulsar.group"),
            advertised: settings.string("pulsar.advertised").map(str::to_owned),
            session_timeout: settings.duration("pulsar.session_timeout").unwrap_or_default(),
            namespace: text("pulsar.namespace"),
            internal_namespace: text("pulsar.internal_namespace"),
            partitions: settings.fitting("pulsar.partitions"),
            properties: settings.texts("pulsar.properties"),
        },
        archive_dirs: settings.files("allow.archive_dirs", sources.home),
        files_dirs: settings.files("allow.files_dirs", sources.home),
        backup_dirs: settings.files("allow.backup_dirs", sources.home),
        cache_dir: settings.is("wasm.enable_cache").then_some(cache_dir),
        cache_bytes: settings.number("wasm.max_cache_size").unwrap_or_default(),
        engines_dir: settings.file("wasm.engines_dir", sources.home),
        python_engine: settings.file("python.wasm_path", sources.home),
        compile_time: settings.duration("wasm.max_compile_time").unwrap_or_default(),
        data_dir,
    }
}
