// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The log of a function, whichever processes it was written in: each keeps what its own tasks said.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use fnstream_api::LogPage;
use fnstream_core::Result;
use fnstream_core::peers::PeerId;
use fnstream_core::spec::check_name;
use tokio::task::JoinSet;

use super::Inspection;
use crate::app::caller;
use crate::app::group::ask::Ask;
use crate::app::ops::blocking;
use crate::logs::Reading;

/// A place in the log of a function: one number where it is kept by one process, else one for each, by the process's name.
///
/// As text it is `7`, or `7,peer=9,other=2`; the first number is the place in the log of the process that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LogPlace {
    own: u64,
    others: BTreeMap<PeerId, u64>,
}

impl FromStr for LogPlace {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let mut parts = text.split(',');
        let own = parts.next().and_then(|own| own.parse().ok()).ok_or(())?;
        let other = |part: &str| {
            let (peer, place) = part.rsplit_once('=')?;
            Some((PeerId(peer.into()), place.parse().ok()?))
        };
        Ok(LogPlace { own, others: parts.map(other).collect::<Option<_>>().ok_or(())? })
    }
}

impl fmt::Display for LogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.own)?;
        self.others.iter().try_for_each(|(peer, place)| write!(f, ",{}={place}", peer.0))
    }
}

/// What is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogReading {
    /// The last lines.
    Tail(usize),
    /// Everything behind that place.
    After(LogPlace),
}

impl LogReading {
    /// What is to be read of the log of another process; everything, where nothing of it was read before.
    fn of(&self, peer: &PeerId) -> Reading {
        match self {
            LogReading::Tail(lines) => Reading::Tail(*lines),
            LogReading::After(place) => Reading::After(place.others.get(peer).copied().unwrap_or_default()),
        }
    }

    fn of_mine(&self) -> Reading {
        match self {
            LogReading::Tail(lines) => Reading::Tail(*lines),
            LogReading::After(place) => Reading::After(place.own),
        }
    }
}

impl Inspection {
    /// Reads a function's log. When there is nothing and `wait` is given, waits so long for the next line.
    pub(crate) async fn logs(
        self: &Arc<Self>,
        name: String,
        reading: LogReading,
        wait: Option<Duration>,
    ) -> Result<LogPage> {
        self.ops.check_open()?;
        check_name("function", &name)?;
        let (register, asked) = (self.register.clone(), name.clone());
        blocking(move || crate::app::entry(&*register, &asked).map(drop)).await?;
        let _place = wait.map(|_| self.room.enter()).transpose()?;
        let peers = self.fellows.others()?;
        if peers.is_empty() {
            return self.logs.read(&name, reading.of_mine(), wait).await;
        }
        let page = self.all_logs(&name, &reading, &peers).await?;
        if wait.is_none() || !page.lines.is_empty() {
            return Ok(page);
        }
        let reading = page.next.parse().map_or(reading, LogReading::After);
        self.first_line(&name, &reading, &peers, wait).await
    }

    /// Waits for a line of any process; what others said meanwhile comes with it.
    async fn first_line(
        self: &Arc<Self>,
        name: &str,
        reading: &LogReading,
        peers: &[PeerId],
        wait: Option<Duration>,
    ) -> Result<LogPage> {
        let mut waiting = JoinSet::new();
        let (logs, own, asked) = (self.logs.clone(), reading.of_mine(), name.to_owned());
        waiting.spawn(async move { logs.read(&asked, own, wait).await });
        for peer in peers {
            let (fellows, peer) = (self.fellows.clone(), peer.clone());
            let ask = log_of(name, reading.of(&peer), wait);
            waiting.spawn(caller::scope(caller::current(), async move { fellows.ask::<LogPage>(&peer, &ask).await }));
        }
        while let Some(page) = waiting.join_next().await {
            match page {
                Ok(Ok(page)) if page.lines.is_empty() => {}
                // A process that went away says nothing more; the others may.
                Ok(Err(error)) if error.is_retriable() && !waiting.is_empty() => {}
                Ok(Err(error)) => return Err(error),
                Ok(Ok(_)) | Err(_) => break,
            }
        }
        self.all_logs(name, reading, peers).await
    }

    /// What all processes have, in the order of time.
    async fn all_logs(self: &Arc<Self>, name: &str, reading: &LogReading, peers: &[PeerId]) -> Result<LogPage> {
        let mut page = self.logs.read(name, reading.of_mine(), None).await?;
        let mut place = LogPlace { own: page.next.parse().unwrap_or_default(), ..LogPlace::default() };
        if let LogReading::After(before) = reading {
            place.others.clone_from(&before.others);
        }
        for peer in peers {
            match self.fellows.ask_soon::<LogPage>(peer, &log_of(name, reading.of(peer), None)).await {
                Ok(theirs) => {
                    page.lines.extend(theirs.lines);
                    place.others.insert(peer.clone(), theirs.next.parse().unwrap_or_default());
                }
                Err(error) => {
                    tracing::warn!(peer = &*peer.0, code = %error.code, error = error.message, "a peer does not give its log");
                }
            }
        }
        page.lines.sort_by_key(|line| line.ms);
        if let LogReading::Tail(lines) = reading {
            page.lines.drain(..page.lines.len().saturating_sub(*lines));
        }
        page.next = place.to_string();
        Ok(page)
    }
}

fn log_of(name: &str, reading: Reading, wait: Option<Duration>) -> Ask {
    let wait_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    Ask::Logs { name: name.to_owned(), reading, wait_ms }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_number_until_there_are_several_logs() {
        assert_eq!("7".parse::<LogPlace>().unwrap().to_string(), "7");
        let several = "7,a=3,b=c=0".parse::<LogPlace>().unwrap();
        assert_eq!((several.own, several.others[&PeerId("b=c".into())]), (7, 0));
        assert_eq!(several.to_string(), "7,a=3,b=c=0");
        assert_eq!(LogReading::After(several).of(&PeerId("new".into())), Reading::After(0));
        for bad in ["", "x", "7,", "7,a", "7,a=", "7,a=x", "-1"] {
            assert!(bad.parse::<LogPlace>().is_err(), "{bad}");
        }
    }
}
