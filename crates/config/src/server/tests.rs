// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

use fnstream_core::ErrorCode;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn flag(path: &'static str, values: &[&str]) -> Flag {
    Flag { path, values: values.iter().map(|value| (*value).to_owned()).collect() }
}

fn of_file(text: &str) -> ServerSettings {
    parse_server_config(text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}")).0
}

fn origin(effective: &Effective, path: &str) -> String {
    effective.find(path).origin().to_string()
}

#[test]
fn a_server_that_is_told_nothing_has_the_defaults() {
    let (settings, effective, notes) = server_config(&Sources::default()).unwrap();
    assert_eq!(
        (settings.grpc_listen.as_deref(), settings.rest_listen.as_str()),
        (Some("127.0.0.1:8080"), "localhost:7300")
    );
    assert_eq!((settings.workers, settings.worker_multiplier, settings.dirty_keys), (None, 1, None));
    assert_eq!((settings.memory, settings.safe_start), (None, SafeStartSetting::Auto));
    assert_eq!((settings.max_produce_bytes, settings.max_artifact_bytes), (16 << 20, 256 << 20));
    assert_eq!((settings.data_dir, settings.cache_dir), (PathBuf::from("data"), Some(PathBuf::from("data/cache"))));
    assert_eq!(settings.durability, DurabilitySetting::Group);
    assert_eq!((settings.retention_age, settings.retention_bytes), (None, None));
    assert_eq!(settings.auto_create, AutoCreateSetting::On);
    assert_eq!((settings.recovery_timeout, settings.scrub_rate), (Some(Duration::from_secs(300)), Some(8 << 20)));
    assert_eq!((settings.cache_bytes, settings.compile_time), (4 << 30, Duration::from_secs(300)));
    let logging = LoggingSettings {
        level: "info".into(),
        format: LogFormat::Text,
        file: None,
        max_file_bytes: 100 << 20,
        max_files: 5,
    };
    assert_eq!(settings.logging, logging);
    assert!(effective.settings().iter().all(|setting| *setting.origin() == Origin::Default));
    assert_eq!(notes, []);
}

#[test]
fn the_file_of_defaults_says_what_the_table_says() {
    let (_, effective, _) = server_config(&Sources::default()).unwrap();
    for setting in effective.settings() {
        assert_eq!(setting.text().unwrap_or_default(), setting.key.default, "{}", setting.path());
        let line = format!("  {}{}:", if setting.value.is_some() { "" } else { "#" }, setting.key.name);
        assert!(SERVER_DEFAULTS.lines().any(|text| text.starts_with(&line)), "{line}");
    }
}

#[test]
fn every_flag_and_older_variable_has_its_setting() {
    let (_, effective, _) = server_config(&Sources::default()).unwrap();
    let has = |path: &str| effective.settings().iter().any(|setting| setting.path() == path);
    assert!(keys::FLAGS.iter().all(|(path, _)| has(path)));
    assert!(keys::VARIABLES.iter().all(|(path, _)| has(path)));
    let (_, effective, _) =
        server_config(&Sources { flags: &[flag(keys::GRPC_LISTEN, &["h:1"])], ..Sources::default() }).unwrap();
    assert_eq!(origin(&effective, "service.port"), "flag --grpc-listen");
}

#[test]
fn every_key_of_the_file_has_its_field() {
    let settings = of_file(
        "
service: {host: 0.0.0.0, port: 9090, workers: 3, worker_multiplier: 2, safe_start: always, allowed_hosts: [a.example], allowed_origins: ['https://b.example:1'], local_paths: false}
memory: {budget: 400MiB}
rest: {listen: ':7400', max_produce_size: 1MiB, max_artifact_size: 2MiB}
network: {max_connections: 100, max_waiting_consumers: 50, head_timeout: 1s, body_timeout: 2s, answer_timeout: 3s, idle_timeout: 4s}
logging: {level: warn, format: json, file_path: logs/a.log, max_file_size: 7, max_files: 9}
state_storage: {base_dir: /srv/fs, access: group, storage_type: rocksdb, durability: sync, dirty_keys: 12, recovery_timeout: 7s, scrub: true, scrub_rate: 2MiB}
retention: {max_age: 7d, max_bytes: 10GiB}
topics: {auto_create: functions}
kafka: {replication: 3, partitions: 6}
pulsar: {service_url: 'pulsar://b1:6650', group: g, advertised: 'h:1', session_timeout: 5s, namespace: a/b, internal_namespace: a/c, partitions: 4, properties: [compression=lz4]}
allow: {archive_dirs: [/a, b], files_dirs: [/c], backup_dirs: [/d]}
wasm: {enable_cache: true, cache_dir: /cache, max_cache_size: 1GiB, max_compile_time: 90s, engines_dir: engines}
python: {wasm_path: /p.wasm}
",
    );
    let expected = ServerSettings {
        grpc_listen: Some("0.0.0.0:9090".into()),
        workers: Some(3),
        worker_multiplier: 2,
        safe_start: SafeStartSetting::Always,
        allowed_hosts: vec!["a.example".into()],
        allowed_origins: vec!["https://b.example:1".into()],
        local_paths: false,
        rest_listen: ":7400".into(),
        network: NetworkSettings {
            max_connections: Some(100),
            max_waiting: Some(50),
            head_timeout: Duration::from_secs(1),
            body_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(4),
        },
        memory: Some(400 << 20),
        max_produce_bytes: 1 << 20,
        max_artifact_bytes: 2 << 20,
        logging: LoggingSettings {
            level: "warn".into(),
            format: LogFormat::Json,
            file: Some("logs/a.log".into()),
            max_file_bytes: 7 << 20,
            max_files: 9,
        },
        data_dir: "/srv/fs".into(),
        group_reads: true,
        durability: DurabilitySetting::Sync,
        dirty_keys: Some(12),
        recovery_timeout: Some(Duration::from_secs(7)),
        scrub_rate: Some(2 << 20),
        retention_age: Some(Duration::from_secs(7 * 86_400)),
        retention_bytes: Some(10 << 30),
        auto_create: AutoCreateSetting::Functions,
        kafka: KafkaSettings {
            bootstrap: "localhost:9092".into(),
            group: "function-stream".into(),
            advertised: None,
            session_timeout: Duration::from_secs(10),
            replication: Some(3),
            partitions: Some(6),
            properties: Vec::new(),
        },
        pulsar: PulsarSettings {
            service_url: "pulsar://b1:6650".into(),
            group: "g".into(),
            advertised: Some("h:1".into()),
            session_timeout: Duration::from_secs(5),
            namespace: "a/b".into(),
            internal_namespace: "a/c".into(),
            partitions: Some(4),
            properties: vec!["compression=lz4".into()],
        },
        archive_dirs: vec!["/a".into(), "b".into()],
        files_dirs: vec!["/c".into()],
        backup_dirs: vec!["/d".into()],
        cache_dir: Some("/cache".into()),
        cache_bytes: 1 << 30,
        engines_dir: Some("engines".into()),
        python_engine: Some("/p.wasm".into()),
        compile_time: Duration::from_secs(90),
    };
    assert_eq!(settings, expected);
    assert_eq!(of_file("state_storage: {recovery_timeout: 0s}").recovery_timeout, None);
    assert_eq!(of_file("state_storage: {scrub: false}").scrub_rate, None);
    assert_eq!(of_file("wasm: {enable_cache: false, cache_dir: /cache}").cache_dir, None);
    assert_eq!(of_file("service: {host: '::1'}").grpc_listen.as_deref(), Some("[::1]:8080"));
    assert_eq!(of_file("service: {grpc: false}").grpc_listen, None);
    assert_eq!(of_file("logging: {format: pretty}").logging.format, LogFormat::Pretty);
    assert!(!of_file("state_storage: {access: owner}").group_reads);
    assert_eq!(of_file("state_storage: {durability: os}").durability, DurabilitySetting::Os);
    assert_eq!(of_file("service: {safe_start: never}").safe_start, SafeStartSetting::Never);
    for (word, setting) in [("on", AutoCreateSetting::On), ("off", AutoCreateSetting::Off)] {
        assert_eq!(of_file(&format!("topics: {{auto-create: {word}}}")).auto_create, setting);
    }
    assert_eq!(of_file("memory: {budget: 402653184}").memory, Some(384 << 20));
    assert_eq!(of_file("# nothing").rest_listen, "localhost:7300");
}

#[test]
fn a_flag_goes_before_a_variable_and_that_before_the_file() {
    let file = "service: {workers: 1, port: 1, host: a}\nrest:\n  listen: file:1\nallow: {files_dirs: [x]}\n";
    let variables = variables(&[
        ("LISTEN_ADDR", "env:2"),
        ("FUNCTION_STREAM_SERVICE_PORT", "2"),
        ("FUNCTION_STREAM_ALLOW_FILES_DIRS", "/p:/q"),
        ("PATH", "/bin"),
    ]);
    let flags = [flag("rest.listen", &["flag:3"]), flag("allow.archive_dirs", &["/r", "/s"])];
    let sources = Sources { file: Some(("c.yaml", file.as_bytes())), variables: &variables, flags: &flags, home: None };
    let (settings, effective, notes) = server_config(&sources).unwrap();
    assert_eq!(notes, []);
    assert_eq!((settings.rest_listen.as_str(), settings.grpc_listen.as_deref()), ("flag:3", Some("a:2")));
    assert_eq!(settings.workers, Some(1));
    assert_eq!(settings.files_dirs, [PathBuf::from("/p"), PathBuf::from("/q")]);
    assert_eq!(settings.archive_dirs, [PathBuf::from("/r"), PathBuf::from("/s")]);
    for (path, expected) in [
        ("rest.listen", "flag --listen"),
        ("service.port", "env FUNCTION_STREAM_SERVICE_PORT"),
        ("service.host", "c.yaml:1"),
        ("allow.files_dirs", "env FUNCTION_STREAM_ALLOW_FILES_DIRS"),
        ("allow.archive_dirs", "flag --allow-archive-dir"),
        ("logging.level", "default"),
    ] {
        assert_eq!(origin(&effective, path), expected, "{path}");
    }
    let only = server_config(&Sources { flags: &[], ..sources }).unwrap();
    assert_eq!((only.0.rest_listen.as_str(), origin(&only.1, "rest.listen").as_str()), ("env:2", "env LISTEN_ADDR"));
    let only = server_config(&Sources { flags: &[], variables: &[], ..sources }).unwrap();
    assert_eq!((only.0.rest_listen.as_str(), origin(&only.1, "rest.listen").as_str()), ("file:1", "c.yaml:3"));
}

#[test]
fn the_address_of_grpc_can_be_given_in_one_text() {
    let told = |given: &[(&str, &str)], flags: &[Flag]| {
        let given = variables(given);
        server_config(&Sources { variables: &given, flags, ..Sources::default() })
            .map(|(settings, ..)| settings.grpc_listen)
    };
    let by_flag = |text: &str| told(&[], &[flag(keys::GRPC_LISTEN, &[text])]);
    assert_eq!(by_flag("none").unwrap(), None);
    assert_eq!(by_flag(":0").unwrap().as_deref(), Some("0.0.0.0:0"));
    assert_eq!(by_flag("[::1]:9").unwrap().as_deref(), Some("[::1]:9"));
    assert_eq!(by_flag("8080").unwrap_err().to_string(), "--grpc-listen: '8080' is neither host:port nor none");
    let expected = "--grpc-listen: 'service.port' is 'x', not a whole number of 0 to 65535";
    assert_eq!(by_flag("a:x").unwrap_err().to_string().replace(" is x,", " is 'x',"), expected);
    assert_eq!(told(&[("GRPC_LISTEN_ADDR", "none")], &[]).unwrap(), None);
    let off = [("FUNCTION_STREAM_SERVICE_GRPC", "false")];
    assert_eq!(told(&off, &[flag(keys::GRPC_LISTEN, &["h:1"])]).unwrap().as_deref(), Some("h:1"));
}

#[test]
fn every_setting_can_be_given_as_a_variable() {
    let (_, effective, _) = server_config(&Sources::default()).unwrap();
    for setting in effective.settings() {
        let text = match setting.key.default {
            "" | "[]" => ["77", "7s", "7GiB", "x"].into_iter().find(|text| {
                let kind = match setting.key.kind {
                    crate::key::Kind::List(of, ..) => of,
                    kind => kind,
                };
                crate::read::parsed("", text, kind).is_ok()
            }),
            default => Some(default),
        };
        let name = format!("FUNCTION_STREAM_{}", setting.path().replace('.', "_").to_uppercase());
        let given = variables(&[(&name, text.unwrap())]);
        let (_, effective, notes) = server_config(&Sources { variables: &given, ..Sources::default() }).unwrap();
        assert_eq!(origin(&effective, &setting.path()), format!("env {name}"));
        assert!(notes.is_empty(), "{notes:?}");
    }
}

#[test]
fn relative_paths_are_under_the_home_folder_except_those_of_flags() {
    let file = "logging: {file_path: a.log}\nwasm: {cache_dir: c}\nallow: {files_dirs: [f, /g]}";
    let sources = Sources { file: Some(("c", file.as_bytes())), home: Some(Path::new("/home")), ..Sources::default() };
    let (settings, ..) = server_config(&sources).unwrap();
    assert_eq!(settings.data_dir, Path::new("/home/data"));
    assert_eq!((settings.logging.file, settings.cache_dir), (Some("/home/a.log".into()), Some("/home/c".into())));
    assert_eq!(settings.files_dirs, [PathBuf::from("/home/f"), PathBuf::from("/g")]);
    let flags = [flag("state_storage.base_dir", &["mine"])];
    assert_eq!(server_config(&Sources { flags: &flags, ..sources }).unwrap().0.data_dir, Path::new("mine"));
}

#[test]
fn debug_is_a_level_unless_one_is_given_and_rust_log_goes_before_all() {
    assert_eq!(of_file("service: {debug: true}").logging.level, "debug");
    assert_eq!(of_file("service: {debug: true}\nlogging: {level: warn}").logging.level, "warn");
    let given = variables(&[("RUST_LOG", "fnstream=trace")]);
    let flags = [flag("logging.level", &["error"])];
    let (settings, effective, _) =
        server_config(&Sources { variables: &given, flags: &flags, ..Sources::default() }).unwrap();
    assert_eq!(settings.logging.level, "fnstream=trace");
    assert_eq!(origin(&effective, "logging.level"), "env RUST_LOG");
    let given = variables(&[("RUST_LOG", ""), ("LISTEN_ADDR", "")]);
    let (settings, ..) = server_config(&Sources { variables: &given, flags: &flags, ..Sources::default() }).unwrap();
    assert_eq!((settings.logging.level.as_str(), settings.rest_listen.as_str()), ("error", "localhost:7300"));
}

#[test]
fn the_cluster_of_pulsar_is_named_by_its_usual_variable() {
    let url = "pulsar+ssl://b1:6651,b2:6651";
    let given = variables(&[("PULSAR_URL", url), ("FUNCTION_STREAM_PULSAR_PROPERTIES", "a=b,c=d")]);
    let (settings, effective, notes) = server_config(&Sources { variables: &given, ..Sources::default() }).unwrap();
    assert_eq!((settings.pulsar.service_url.as_str(), notes.len()), (url, 0));
    assert_eq!(settings.pulsar.properties, ["a=b", "c=d"]);
    // What is printed is read again.
    let printed = effective.to_yaml();
    assert_eq!(of_file(&printed).pulsar, settings.pulsar, "{printed}");
}

#[test]
fn what_has_no_effect_is_noted_once() {
    let file = "
service: {service_id: a, service_name: b, version: 1}
python: {wasm_path: p, cache_dir: c, enable_cache: true}
state_storage: {storage_type: memory, rocksdb: {max_open_files: 100}}
task_storage: {storage_type: rocksdb, db_path: d, rocksdb: {}}
stream_catalog: {persist: true, db_path: s}
pulsar:
wasm:
";
    let given = variables(&[
        ("FUNCTION_STREAM_PYTHON_CACHE_DIR", "p"),
        ("FUNCTION_STREAM_SERVICE_PROT", "1"),
        ("FUNCTION_STREAM_HOME", "/h"),
        ("FUNCTION_STREAM_URL", "localhost:7300"),
    ]);
    let sources = Sources { file: Some(("c", file.as_bytes())), variables: &given, ..Sources::default() };
    let (_, _, notes) = server_config(&sources).unwrap();
    let lines: Vec<_> = notes.iter().map(|note| note.line("c")).collect();
    let told: Vec<_> = lines.iter().filter_map(|line| line.split('\'').nth(1)).collect();
    let expected = [
        "service.service_id",
        "service.service_name",
        "service.version",
        "python.cache_dir",
        "python.enable_cache",
        "state_storage.storage_type: memory",
        "state_storage.rocksdb",
        "task_storage.storage_type",
        "task_storage.db_path",
        "task_storage.rocksdb",
        "stream_catalog.persist",
        "stream_catalog.db_path",
        "python.cache_dir",
        "FUNCTION_STREAM_SERVICE_PORT",
    ];
    assert_eq!(told, expected);
    let last = "FUNCTION_STREAM_SERVICE_PROT: note: there is no setting of this name; did you mean \
                'FUNCTION_STREAM_SERVICE_PORT'?";
    assert_eq!(lines.last().unwrap(), last);
}

#[test]
fn what_is_wrong_in_any_source_is_told_at_once() {
    let given = variables(&[("LISTEN_ADDR", "nowhere"), ("FUNCTION_STREAM_SERVICE_DEBUG", "yes")]);
    let flags = [flag("service.workers", &["0"])];
    let file = Some(("c.yaml", &b"logging: {levle: info}\nrest: {max_produce_size: lots}"[..]));
    let problems = server_config(&Sources { file, variables: &given, flags: &flags, home: None }).unwrap_err();
    assert_eq!(problems.code, ErrorCode::InvalidConfig);
    let expected = "\
c.yaml:1:11: unknown key 'levle' in 'logging'; did you mean 'level'?
c.yaml:2:26: 'rest.max_produce_size': 'lots' is not a size: write a whole number with its unit B, KiB, MiB, GiB, TiB, kB, MB or GB, such as 16MiB
LISTEN_ADDR: 'rest.listen' is 'nowhere', not host:port
FUNCTION_STREAM_SERVICE_DEBUG: 'service.debug' is 'yes', not true or false
--workers: 'service.workers' is 0, not a whole number of 1 to 1024";
    assert_eq!(problems.to_string(), expected);
}

#[test]
fn what_is_shown_is_a_file_that_means_the_same() {
    let file = "
service: {host: '::1', port: 0, debug: true, workers: 2}
rest: {listen: '[::1]:0'}
logging: {level: 'a=info,b::c=off', file_path: 'a b: #c', max_file_size: 3}
state_storage: {base_dir: '123', durability: os}
retention: {max_age: 36h}
allow: {files_dirs: ['true', '/x,y', '~', 'a: b', \"l\\nm\"]}
wasm: {enable_cache: false, max_cache_size: 1000}
";
    let sources = Sources { file: Some(("c", file.as_bytes())), ..Sources::default() };
    let (settings, effective, _) = server_config(&sources).unwrap();
    let shown = effective.to_yaml();
    assert_eq!(of_file(&shown), settings, "{shown}");
    assert_eq!(of_file(SERVER_DEFAULTS), server_config(&Sources::default()).unwrap().0);
    let json = effective.to_json();
    assert_eq!(json["service.port"], serde_json::json!({ "value": 0, "origin": "c:2" }));
    assert_eq!(json["retention.max_bytes"], serde_json::json!({ "value": null, "origin": "default" }));
    assert_eq!(json["retention.max_age"]["value"], "36h");
    assert_eq!(json["allow.files_dirs"]["value"][2], "~");
}
