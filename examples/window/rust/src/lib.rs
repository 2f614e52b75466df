// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! Counts the records of each key in windows of event time, which follow each other without a gap. A window's count is emitted
//! once, when no record of it is expected any more; a record that comes later all the same is dropped.

use fnstream_sdk::{Config, Context, Error, Function, Output, Record, Store, TimeDomain, Timer};
use serde::Serialize;

struct Window {
    /// Milliseconds.
    size: i64,
    /// How many records each open window has; its key is the name of the window, and of the timer at its end.
    counts: Store,
    /// The watermark and the number of dropped records, under these names.
    progress: Store,
    watermark: Option<i64>,
}

/// What is emitted.
#[derive(Serialize)]
struct Counted<'a> {
    key: &'a str,
    /// When the window begins, in milliseconds since the Unix epoch.
    window: i64,
    count: u64,
}

fn increment(store: &Store, key: &[u8]) -> Result<u64, Error> {
    let sum = store.get_as::<u64>(key)?.unwrap_or(0) + 1;
    store.put_as(key, &sum)?;
    Ok(sum)
}

/// The milliseconds of a duration such as `10s`.
fn milliseconds(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit).filter(|size| *size > 0)
}

impl Function for Window {
    fn init(ctx: &mut Context, config: &Config) -> Result<Self, Error> {
        let text = config.get("window").map_or("10s", |text| text);
        let size = milliseconds(text).ok_or_else(|| {
            Error::new(format!("the window '{text}' is not a duration of a millisecond at least, such as 10s"))
        })?;
        let progress = ctx.state("progress")?;
        let watermark = progress.get_as::<i64>(b"watermark")?;
        Ok(Window { size, counts: ctx.state("counts")?, progress, watermark })
    }

    fn process(&mut self, ctx: &mut Context, record: Record<'_>) -> Result<(), Error> {
        let end = record.timestamp - record.timestamp.rem_euclid(self.size) + self.size;
        if self.watermark >= Some(end) {
            return increment(&self.progress, b"dropped").map(drop);
        }
        let name = [&end.to_be_bytes()[..], record.key.unwrap_or_default()].concat();
        if increment(&self.counts, &name)? == 1 {
            ctx.set_timer(TimeDomain::Event, &name, end)?;
        }
        Ok(())
    }

    /// No record of a window is expected any more.
    fn on_timer(&mut self, ctx: &mut Context, timer: Timer<'_>) -> Result<(), Error> {
        let count = self.counts.get_as::<u64>(timer.key)?;
        let count = count.ok_or_else(|| Error::new(format!("a window that ends at {} has no count", timer.at)))?;
        self.counts.delete(timer.key)?;
        let key = &timer.key[8..];
        let counted = Counted { key: &String::from_utf8_lossy(key), window: timer.at - self.size, count };
        ctx.emit_record(Output::new(&serde_json::to_vec(&counted)?).with_key(key))
    }

    /// All timers have fired that the watermark made due. It is kept, so that a new instance knows as well which records are
    /// late, and passed on to who reads the results.
    fn process_watermark(&mut self, ctx: &mut Context, _: u32, watermark: u64) -> Result<(), Error> {
        let told = i64::try_from(watermark).unwrap_or(i64::MAX);
        self.watermark = Some(told);
        self.progress.put_as(b"watermark", &told)?;
        ctx.emit_watermark(0, watermark)
    }

    /// How many records came too late.
    fn custom(&mut self, _: &mut Context, payload: Vec<u8>) -> Result<Vec<u8>, Error> {
        if payload != b"dropped" {
            return Err(Error::new("what can be asked is 'dropped'"));
        }
        Ok(self.progress.get_as::<u64>(b"dropped")?.unwrap_or(0).to_string().into_bytes())
    }
}

fnstream_sdk::export!(Window);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use fnstream_sdk::Record;
    use fnstream_sdk::testing::Harness;

    use super::{Window, milliseconds};

    fn at(key: &'static str, timestamp: i64) -> Record<'static> {
        Record::new(b"").with_key(key.as_bytes()).at(timestamp)
    }

    fn emitted(test: &mut Harness<Window>) -> Vec<String> {
        test.take_output().into_iter().map(|r| String::from_utf8(r.value.unwrap()).unwrap()).collect()
    }

    #[test]
    fn a_window_is_emitted_once_when_the_watermark_passes_its_end() {
        let mut test = Harness::<Window>::new(&[]).unwrap();
        test.process(&[at("a", 9_999), at("a", 10_000), at("b", 3), at("a", 0), at("a", -1)]).unwrap();
        test.process_watermark(0, 9_999).unwrap();
        assert_eq!(emitted(&mut test), [r#"{"key":"a","window":-10000,"count":1}"#]);
        test.restart().unwrap();
        test.process(&[at("a", 10_500), at("a", 9_998)]).unwrap();
        test.process_watermark(0, 10_000).unwrap();
        let of_first = [r#"{"key":"a","window":0,"count":3}"#, r#"{"key":"b","window":0,"count":1}"#];
        assert_eq!(emitted(&mut test), of_first);
        test.restart().unwrap();
        test.process(&[at("a", 9_999)]).unwrap();
        test.process_watermark(0, 30_000).unwrap();
        assert_eq!(emitted(&mut test), [r#"{"key":"a","window":10000,"count":2}"#]);
        assert_eq!(test.custom(b"dropped").unwrap(), b"1");
        assert!(test.timers().is_empty());
    }

    #[test]
    fn a_window_is_a_duration() {
        assert_eq!(["10s", "5ms", "2m", "1h"].map(milliseconds), [10_000, 5, 120_000, 3_600_000].map(Some));
        assert_eq!(["", "10", "s", "0s", "-1s", "1us", "99999999999999999999s"].map(milliseconds), [None; 7]);
        let refused = Harness::<Window>::new(&[("window", "ten")]).err().unwrap();
        assert!(refused.to_string().contains("'ten' is not a duration"), "{refused}");
    }
}
