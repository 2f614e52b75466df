// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! A packed function that obeys commands: the value of each record is one.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use fnstream_sdk::__private::bindings::functionstream::packed::{output, state, timers};
use fnstream_sdk::{Config, Context, Error, Function, Module, Output, Record, Store, TimeDomain, Timer};

struct Obey {
    config: Config,
    store: Store,
    healthy: bool,
}

impl Function for Obey {
    fn init(ctx: &mut Context, config: &Config) -> Result<Self, Error> {
        if let Some(message) = config.get("fail") {
            return Err(Error::new(message));
        }
        while config.get("loop").is_some() {
            std::hint::black_box(());
        }
        Ok(Obey { config: config.clone(), store: ctx.state("s")?, healthy: true })
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        let text = std::str::from_utf8(record.bytes())?;
        let (command, rest) = text.split_once(' ').unwrap_or((text, ""));
        match command {
            "echo" => ctx.emit(0, rest.as_bytes()),
            "fail" => Err(Error::new(rest)),
            "fail-late" => {
                let count = self.store.get_as::<u64>(b"late")?.unwrap_or(0) + 1;
                self.store.put_as(b"late", &count)?;
                ctx.emit(0, count.to_string().as_bytes())?;
                Err(Error::new("too late"))
            }
            "trap" => panic!("as told"),
            "loop" => loop {
                std::hint::black_box(());
            },
            "grow" => {
                let mut kept = Vec::new();
                loop {
                    kept.push(vec![1u8; 1 << 20]);
                }
            }
            "exit" => std::process::exit(rest.parse()?),
            "print" => {
                println!("{rest}");
                eprintln!("{rest}");
                Ok(())
            }
            "print-open" => {
                print!("{rest}");
                eprint!("{rest}");
                std::io::stdout().flush()?;
                Ok(())
            }
            "exit-saying" => {
                eprintln!("{rest}");
                std::process::exit(1)
            }
            "sleep" => {
                std::thread::sleep(Duration::from_millis(rest.parse()?));
                ctx.emit(0, b"awake")
            }
            "surroundings" => {
                let connect = TcpStream::connect("127.0.0.1:1").err().map(|e| e.kind());
                let file = std::fs::read("/etc/passwd").err().map(|e| e.kind());
                let seen = (std::env::args().count(), std::env::vars().count(), file.is_some(), connect.is_some());
                ctx.emit(0, format!("{seen:?}").as_bytes())
            }
            "files" => ctx.emit(0, guest_files::obey(rest).as_bytes()),
            "error" => Err(Error::new("e".repeat(rest.parse()?))),
            "about" => {
                let about = format!("{:?} {:?}", self.config, ctx.metadata());
                ctx.emit(0, about.as_bytes())
            }
            "sick" => {
                self.healthy = false;
                Ok(())
            }
            "put" => self.store.put(rest.as_bytes(), &vec![b'x'; 1000]),
            "count" => {
                let count = self.store.get_as::<u64>(rest.as_bytes())?.unwrap_or(0) + 1;
                self.store.put_as(rest.as_bytes(), &count)?;
                ctx.emit(0, count.to_string().as_bytes())
            }
            "scan" => {
                let keys = self.store.scan(b"", None).map(|pair| pair.map(|(key, _)| key));
                let keys = keys.collect::<Result<Vec<_>, _>>()?;
                ctx.emit(0, keys.concat().as_slice())
            }
            "timers" => {
                ctx.set_timer(TimeDomain::Event, b"a", 10)?;
                ctx.set_timer(TimeDomain::Processing, b"b", -20)?;
                ctx.delete_timer(TimeDomain::Event, b"old")
            }
            "timer" => {
                let (at, key) = rest.split_once(' ').unwrap_or((rest, ""));
                ctx.set_timer(TimeDomain::Event, key.as_bytes(), at.parse()?)
            }
            "timer-of" => ctx.set_timer(TimeDomain::Event, &vec![b'k'; rest.parse()?], 1),
            "no-timer-of" => ctx.delete_timer(TimeDomain::Event, &vec![b'k'; rest.parse()?]),
            "many-timers" => {
                (0..rest.parse::<u64>()?).try_for_each(|i| ctx.set_timer(TimeDomain::Event, &i.to_be_bytes(), 1))
            }
            // What the SDK would never do.
            "raw-timers" => {
                let long = vec![b'k'; 65_537];
                let answers = format!(
                    "{:?}; {:?}",
                    timers::set(timers::Domain::EventTime, &long, 1),
                    timers::delete(timers::Domain::ProcessingTime, &long)
                );
                ctx.emit(0, answers.as_bytes())
            }
            "raw-hidden-timer" => {
                let _ = timers::set(timers::Domain::EventTime, b"k", 1);
                Ok(())
            }
            "raw-frame" => output::emit_frame(rest.as_bytes()).map_err(Error::new),
            "raw-target" => {
                let mut frame = fnstream_sdk::__private::frame::FrameBuilder::new();
                frame.push(fnstream_sdk::__private::frame::RecordRef::new(b"x").on(rest.parse()?));
                output::emit_frame(&frame.to_bytes()).map_err(Error::new)
            }
            "raw-swallow" => {
                let refused = output::emit_frame(b"nonsense").is_err();
                ctx.emit(0, refused.to_string().as_bytes())
            }
            "raw-state" => {
                let handle = state::open("s").map_err(|e| Error::new(format!("{e:?}")))?;
                let answers = format!(
                    "{:?}; {:?}; {:?}; {:?}; {:?}",
                    state::open(""),
                    state::get(handle, b"\x07key"),
                    state::get(handle + 1, b"\x00key"),
                    state::write(handle, b"ops"),
                    state::get_many(handle, b"keys"),
                );
                ctx.emit(0, answers.as_bytes())
            }
            "raw-many" => {
                let handle = state::open("s").map_err(|e| Error::new(format!("{e:?}")))?;
                let mut keys = fnstream_sdk::__private::frame::KeyList::new();
                for key in ["a", "b", "c"] {
                    keys.push(format!("\0{key}").as_bytes());
                }
                let values = state::get_many(handle, keys.as_bytes()).map_err(|e| Error::new(format!("{e:?}")))?;
                ctx.emit(0, &values)
            }
            _ => Err(Error::new(format!("what is '{text}'"))),
        }
    }

    fn process_watermark(&mut self, ctx: &mut Context, source: u32, watermark: u64) -> Result<(), Error> {
        ctx.emit_watermark(source, watermark + 1)
    }

    fn on_timer(&mut self, ctx: &mut Context, timer: Timer<'_>) -> Result<(), Error> {
        match timer.key {
            b"bad" => return Err(Error::new("bad timer")),
            b"trap" => panic!("as told"),
            b"loop" => loop {
                std::hint::black_box(());
            },
            b"again" => ctx.set_timer(timer.domain, b"again", timer.at + 10)?,
            _ => {}
        }
        let value = if timer.domain == TimeDomain::Event { "event" } else { "processing" };
        ctx.emit_record(Output::new(value.as_bytes()).with_key(timer.key))
    }

    fn take_checkpoint(&mut self, ctx: &mut Context, checkpoint: u64) -> Result<(), Error> {
        self.store.put_as(b"checkpoint", &checkpoint)?;
        ctx.emit(0, format!("checkpoint {checkpoint}").as_bytes())
    }

    fn check_heartbeat(&mut self, _: &mut Context) -> bool {
        self.healthy
    }

    fn close(&mut self, ctx: &mut Context) -> Result<(), Error> {
        ctx.emit(0, b"closed")
    }

    fn exec(&mut self, ctx: &mut Context, class_name: &str, modules: Vec<Module>) -> Result<(), Error> {
        ctx.emit(0, format!("{class_name} {modules:?}").as_bytes())
    }

    fn custom(&mut self, _: &mut Context, mut payload: Vec<u8>) -> Result<Vec<u8>, Error> {
        if payload.is_empty() {
            return Err(Error::new("nothing was asked"));
        }
        payload.reverse();
        Ok(payload)
    }
}

fnstream_sdk::export!(Obey);
