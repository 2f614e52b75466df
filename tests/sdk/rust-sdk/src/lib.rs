// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The conformance program by the Rust SDK: what `tests/sdk/README.md` says.

#[cfg(test)]
mod parity;
#[cfg(test)]
mod scenarios;
mod states;

use fnstream_sdk::{
    Config, Context, Error, Function, HeadersBuilder, Module, Output, Record, Store, TimeDomain, Timer,
};
use states::States;

struct Conformance {
    store: Store,
    states: States,
    records: u64,
    sick: bool,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn number(text: &str) -> Result<usize, Error> {
    Ok(text.parse()?)
}

fn domain(word: &str) -> Result<TimeDomain, Error> {
    match word {
        "event" => Ok(TimeDomain::Event),
        "processing" => Ok(TimeDomain::Processing),
        _ => Err(Error::new(format!("there is no time '{word}'"))),
    }
}

/// A record but for its value.
fn whole(record: Record<'_>) -> String {
    let key = record.key.map_or_else(|| "no key".to_owned(), |key| format!("key={}", text(key)));
    let headers: String = record.headers.iter().map(|(name, value)| format!(" {name}={}", text(value))).collect();
    format!("record {key} time={}{headers}", record.timestamp)
}

/// The keys of a range; an empty end is before every key.
fn keys(store: &Store, start: &str, end: Option<&str>) -> Result<String, Error> {
    let mut told = "keys".to_owned();
    for pair in store.scan(start.as_bytes(), end.map(str::as_bytes)) {
        told = told + " " + &text(&pair?.0);
    }
    Ok(told)
}

/// The end of a range; an empty word is none.
fn end(word: &str) -> Option<&[u8]> {
    Some(word.as_bytes()).filter(|word| !word.is_empty())
}

/// The pairs of a range.
fn pairs(store: &Store, from: &str, to: &str) -> Result<String, Error> {
    let mut told = "pairs".to_owned();
    for pair in store.scan(from.as_bytes(), end(to)) {
        let (key, value) = pair?;
        told += &format!(" {}={}", text(&key), text(&value));
    }
    Ok(told)
}

/// Writes something at a key of a walk.
fn edit(part: &Store, what: &str, key: &str) -> Result<(), Error> {
    let later = |by: usize| Ok::<_, Error>(format!("{:05}", number(&key[..5])? + by));
    match what {
        "delete-ahead" => part.delete(later(1)?.as_bytes()),
        "delete-here" => part.delete(key.as_bytes()),
        "put-ahead" if key.ends_with('0') => part.put(format!("{key}+").as_bytes(), b"y"),
        "merge-ahead" if key.ends_with('+') => part.merge(later(2)?.as_bytes(), b"z"),
        "prefix-ahead" if key.ends_with("000") => part.delete_prefix(format!("{}5", &key[..2]).as_bytes()),
        "put-behind" => part.put(format!("!{key}").as_bytes(), b"b"),
        _ => Ok(()),
    }
}

impl Conformance {
    fn part(&self, part: &str) -> Store {
        self.store.part(b"g", part.as_bytes(), b"n")
    }

    fn told(store: &Store, key: &str) -> Result<String, Error> {
        Ok(match store.get(key.as_bytes())? {
            Some(value) => format!("{key}={}", text(&value)),
            None => format!("{key} absent"),
        })
    }

    /// Carries out a command; answers what is to be emitted.
    fn run(&mut self, ctx: &mut Context, record: Record<'_>, line: &str) -> Result<Option<String>, Error> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.splitn(3, ' ').map(str::to_owned).collect::<Vec<_>>();
        words.resize(3, String::new());
        let (two, last) = rest.split_once(' ').unwrap_or((rest, ""));
        let [one, second, third] = [&words[0], &words[1], &words[2]];
        match name {
            "emit" => ctx.emit(number(two)? as u32, last.as_bytes())?,
            "" => return Ok(Some("empty".to_owned())),
            "state" => return self.states.run(rest),
            "record" => return Ok(Some(whole(record))),
            "pass" => {
                let output = Output::new(rest.as_bytes()).with_headers(record.headers).at(record.timestamp);
                ctx.emit_record(record.key.map_or(output, |key| output.with_key(key)))?;
            }
            "tombstone" => ctx.emit_record(Output::null().with_key(rest.as_bytes()))?,
            "emit-record" => {
                let (header, value) = third.split_once(' ').unwrap_or((third, ""));
                let (name, content) = header.split_once('=').unwrap_or((header, ""));
                let mut headers = HeadersBuilder::new();
                headers.push(name, content.as_bytes())?;
                let output = Output::new(value.as_bytes()).with_key(one.as_bytes()).at(second.parse()?);
                ctx.emit_record(output.with_headers(headers.as_headers()))?;
            }
            "metadata" => {
                let metadata = ctx.metadata();
                return Ok(Some(format!("metadata {} {}", metadata.task_index, metadata.outputs.len())));
            }
            "emit-null" => ctx.emit_record(Output::null().to(number(rest)? as u32))?,
            "watermark" => ctx.emit_watermark(number(two)? as u32, last.parse()?)?,
            "put" => self.store.put(two.as_bytes(), last.as_bytes())?,
            "delete" => self.store.delete(rest.as_bytes())?,
            "get" => return Self::told(&self.store, rest).map(Some),
            "list" => return keys(&self.store, two, Some(last)).map(Some),
            "large" => self.store.put(two.as_bytes(), &vec![b'x'; number(last)?])?,
            "size" => {
                let value = self.store.get(rest.as_bytes())?;
                return Ok(Some(format!("size {}", value.map_or(0, |value| value.len()))));
            }
            "other" => ctx.state(one)?.put(second.as_bytes(), third.as_bytes())?,
            "cput" => self.part(one).put(second.as_bytes(), third.as_bytes())?,
            "merge" => self.part(one).merge(second.as_bytes(), third.as_bytes())?,
            "cdelete" => self.part(two).delete(last.as_bytes())?,
            "cget" => return Self::told(&self.part(two), last).map(Some),
            "cprefix" => self.part(two).delete_prefix(last.as_bytes())?,
            "clist" => return keys(&self.part(one), second, Some(third)).map(Some),
            "scan" => return pairs(&self.part(rest), "", "").map(Some),
            "scan-range" => return pairs(&self.store, two, last).map(Some),
            "cscan-range" => return pairs(&self.part(one), second, third).map(Some),
            "delete-range" => self.store.delete_range(two.as_bytes(), end(last))?,
            "cdelete-range" => self.part(one).delete_range(second.as_bytes(), end(third))?,
            "merge-simple" => self.store.merge(two.as_bytes(), last.as_bytes())?,
            "list-from" => return keys(&self.store, rest, None).map(Some),
            "clist-from" => return keys(&self.part(two), last, None).map(Some),
            "walk" => {
                let part = self.part(two);
                let (mut pairs, mut bytes) = (0, 0);
                for pair in part.scan(b"", None) {
                    let (key, value) = pair?;
                    pairs += 1;
                    bytes += value.len();
                    edit(&part, last, &text(&key))?;
                }
                return Ok(Some(format!("walked {pairs} {bytes}")));
            }
            "fill" => {
                let (part, value) = (self.part(one), vec![b'x'; number(third)?]);
                for i in 0..number(second)? {
                    part.put(format!("{i:05}").as_bytes(), &value)?;
                }
            }
            "count" => {
                let (mut pairs, mut bytes) = (0, 0);
                for pair in self.part(rest).scan(b"", None) {
                    pairs += 1;
                    bytes += pair?.1.len();
                }
                return Ok(Some(format!("count {pairs} {bytes}")));
            }
            "open" => {
                let long = rest.strip_prefix("long ").map(number).transpose()?;
                let name = long.map_or_else(|| rest.to_owned(), |length| "n".repeat(length));
                let opened = ctx.state(&name).is_ok();
                return Ok(Some(if opened { "opened" } else { "refused" }.to_owned()));
            }
            "timer" => ctx.set_timer(domain(one)?, third.as_bytes(), second.parse()?)?,
            "untimer" => ctx.delete_timer(domain(two)?, last.as_bytes())?,
            "long-timer" => {
                let set = ctx.set_timer(TimeDomain::Event, &vec![b'k'; number(rest)?], i64::MAX).is_ok();
                return Ok(Some(if set { "set" } else { "refused" }.to_owned()));
            }
            "source" => return Ok(Some(format!("source {}", record.source))),
            "field" => return Ok(Some(format!("field {}", self.records))),
            "garbage" => drop(vec![0_u8; number(rest)?]),
            "sick" => self.sick = true,
            "fail" => return Err(Error::new(rest)),
            "die" => std::process::abort(),
            "panic" => panic!("{rest}"),
            _ => return Err(Error::new(format!("the command '{name}' is not known"))),
        }
        Ok(None)
    }
}

impl Function for Conformance {
    fn init(ctx: &mut Context, config: &Config) -> Result<Self, Error> {
        if let Some(text) = config.get("fail") {
            return Err(Error::new(text.clone()));
        }
        Ok(Conformance { store: ctx.state("s")?, states: States::open(ctx)?, records: 0, sick: false })
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        self.records += 1;
        if record.value.is_none() {
            return ctx.emit(0, b"null");
        }
        for line in text(record.bytes()).split('\n') {
            if let Some(answer) = self.run(ctx, record, line)? {
                ctx.emit(0, answer.as_bytes())?;
            }
        }
        Ok(())
    }

    fn on_timer(&mut self, ctx: &mut Context, timer: Timer<'_>) -> Result<(), Error> {
        let domain = if timer.domain == TimeDomain::Event { "event" } else { "processing" };
        let key = text(timer.key);
        ctx.emit(0, format!("fired {domain} {} {key}", timer.at).as_bytes())?;
        let Some(command) = self.store.get(format!("on:{key}").as_bytes())? else { return Ok(()) };
        if let Some(answer) = self.run(ctx, Record::null(), &text(&command))? {
            ctx.emit(0, answer.as_bytes())?;
        }
        Ok(())
    }

    fn process_watermark(&mut self, ctx: &mut Context, _: u32, watermark: u64) -> Result<(), Error> {
        ctx.emit_watermark(0, watermark)
    }

    fn take_checkpoint(&mut self, _: &mut Context, checkpoint: u64) -> Result<(), Error> {
        self.store.put(b"checkpoint", checkpoint.to_string().as_bytes())
    }

    fn check_heartbeat(&mut self, _: &mut Context) -> bool {
        !self.sick
    }

    fn exec(&mut self, _: &mut Context, class_name: &str, modules: Vec<Module>) -> Result<(), Error> {
        let told = modules
            .iter()
            .fold(class_name.to_owned(), |told, module| told + &format!(" {}={}", module.name, text(&module.bytes)));
        self.store.put(b"exec", told.as_bytes())
    }

    fn custom(&mut self, _: &mut Context, payload: Vec<u8>) -> Result<Vec<u8>, Error> {
        match &payload[..] {
            b"fail" => Err(Error::new("refused")),
            b"die" => std::process::abort(),
            _ => Ok([b"custom ", &payload[..]].concat()),
        }
    }
}

fnstream_sdk::export!(Conformance);
