// Copyright 2024 Function Stream Org.
// SPDX-License-Identifier: Apache-2.0

//! The rows of a statement or a call: all of them, or a page, as whoever asks wishes.
//!
//! All of them are gathered page by page, so that no thread is held for long, and up to what an answer can hold. The cursor of
//! a page knows how many rows were given before it, so that a `LIMIT` is that of all pages together.

use fnstream_api::grpc::MAX_MESSAGE_BYTES;
use fnstream_core::budget::{Budget, Held};
use fnstream_core::{Error, ErrorCode, Result};

use crate::app::pages::{List, MEMORY, MOST_ROWS, Page, Wanted, stray};
use crate::net;

/// Which rows are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// A page of at most so many; all rows without it.
    pub(crate) max: Option<u32>,
    /// The page behind that cursor; the first one if it is empty.
    pub(crate) after: String,
}

/// The bounds of what is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The statement's `LIMIT`.
    pub(crate) limit: Option<u64>,
    /// The most rows that an answer has which is no page.
    pub(crate) most: usize,
    /// What a row is, for messages.
    pub(crate) what: &'static str,
}

impl Asked {
    /// Refuses a cursor without the page that it is for.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Asked { max: Some(0), .. } => {
                Err(Error::new(ErrorCode::InvalidRequest, "max is 0: a page has at least one row"))
            }
            Asked { max: None, after } if !after.is_empty() => {
                Err(Error::new(ErrorCode::InvalidRequest, "after is given without max: only pages have cursors"))
            }
            _ => Ok(()),
        }
    }

    /// Reports whether these are the first rows.
    pub(crate) fn is_first(&self) -> bool {
        self.after.is_empty()
    }
}

/// Gathers rows from pages: `page` answers one, `size` says how many bytes a row has. The rows take that memory.
pub(crate) async fn gather<T, F>(
    budget: &Budget,
    asked: &Asked,
    bounds: Bounds,
    size: impl Fn(&T) -> usize,
    mut page: impl FnMut(Wanted) -> F,
) -> Result<(Page<T>, Held)>
where
    F: Future<Output = Result<Page<T>>>,
{
    let mut memory = net::memory(budget, &budget.lists, MEMORY).await?;
    let limit = bounds.limit.unwrap_or(u64::MAX);
    let left = |given: u64| usize::try_from(limit.saturating_sub(given)).unwrap_or(usize::MAX);
    if let Some(max) = asked.max {
        let (given, after) = if asked.is_first() { (0, None) } else { place(&asked.after)? };
        let max = left(given).min(max as usize);
        if max == 0 {
            return Ok((Page { rows: Vec::new(), next: None }, memory));
        }
        let Page { rows, next } = page(Wanted { max, after }).await?;
        let given = given + rows.len() as u64;
        let next = next.filter(|_| left(given) > 0);
        let next = next.map(|next| List::Statement.cursor(&[&given.to_be_bytes()[..], next.as_bytes()].concat()));
        return Ok((Page { rows, next }, memory));
    }
    let (mut rows, mut bytes, mut after) = (Vec::new(), 0, None);
    while left(rows.len() as u64) > 0 {
        if rows.len() >= bounds.most || bytes > MAX_MESSAGE_BYTES {
            let Bounds { most, what, .. } = bounds;
            return Err(Error::new(
                ErrorCode::InvalidRequest,
                format!(
                    "there are more {what} than fit into an answer, which has at most {most} and {MAX_MESSAGE_BYTES} bytes: ask for less with LIMIT or LIKE, or for pages"
                ),
            ));
        }
        let max = left(rows.len() as u64).min(MOST_ROWS).min(bounds.most - rows.len());
        // For those that were gathered, and one page more.
        memory.try_grow((bytes + MEMORY).saturating_sub(memory.bytes()))?;
        let found = page(Wanted { max, after }).await?;
        bytes += found.rows.iter().map(&size).sum::<usize>();
        rows.extend(found.rows);
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    Ok((Page { rows, next: None }, memory))
}

/// How many rows were given before a page, and the cursor of what is listed.
fn place(cursor: &str) -> Result<(u64, Option<String>)> {
    let place = List::Statement.place(cursor)?;
    let (given, inner) = place.split_first_chunk::<8>().ok_or_else(stray)?;
    let inner = std::str::from_utf8(inner).map_err(|_| stray())?;
    Ok((u64::from_be_bytes(*given), Some(inner.to_owned())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    static ALL: Asked = Asked { max: None, after: String::new() };

    /// The numbers below 10, in pages of at most three.
    async fn numbers(wanted: Wanted) -> Result<Page<usize>> {
        let from = wanted.after.map_or(0, |after| List::Tried.text(&after).unwrap().parse().unwrap());
        let rows: Vec<_> = (from..10).take(wanted.max.min(3)).collect();
        let end = from + rows.len();
        Ok(Page { rows, next: (end < 10).then(|| List::Tried.cursor(end.to_string().as_bytes())) })
    }

    async fn rows_of<F: Future<Output = Result<Page<usize>>>>(
        asked: &Asked,
        bounds: Bounds,
        size: impl Fn(&usize) -> usize,
        page: impl FnMut(Wanted) -> F,
    ) -> Result<Page<usize>> {
        gather(&Budget::unbounded(), asked, bounds, size, page).await.map(|(page, _)| page)
    }

    fn bounds(limit: Option<u64>, most: usize) -> Bounds {
        Bounds { limit, most, what: "numbers" }
    }

    #[tokio::test]
    async fn all_rows_come_from_as_many_pages_as_it_takes() {
        let all = Asked::default();
        let gathered = rows_of(&all, bounds(None, 99), |_| 1, numbers).await.unwrap();
        assert_eq!((gathered.rows, gathered.next), ((0..10).collect(), None));
        let limited = rows_of(&all, bounds(Some(4), 99), |_| 1, numbers).await.unwrap();
        assert_eq!((limited.rows, limited.next), ((0..4).collect(), None));
        let exactly = rows_of(&all, bounds(None, 10), |_| 1, numbers).await.unwrap();
        assert_eq!(exactly.rows.len(), 10);
        for (most, size) in [(9, 1), (99, MAX_MESSAGE_BYTES / 4)] {
            let refused = rows_of(&all, bounds(None, most), |_| size, numbers).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::InvalidRequest);
            assert!(refused.message.contains("more numbers"), "{}", refused.message);
        }
    }

    #[tokio::test]
    async fn a_limit_is_that_of_all_pages_together() {
        for (limit, max, sizes) in [
            (None, 2, vec![2, 2, 2, 2, 2]),
            (Some(5), 2, vec![2, 2, 1]),
            (Some(4), 2, vec![2, 2]),
            (Some(0), 2, vec![0]),
            (Some(7), 9, vec![3, 3, 1]),
        ] {
            let mut asked = Asked { max: Some(max), after: String::new() };
            let (mut seen, mut rows) = (Vec::new(), Vec::new());
            loop {
                let page = rows_of(&asked, bounds(limit, 1), |_| usize::MAX / 64, numbers).await.unwrap();
                seen.push(page.rows.len());
                rows.extend(page.rows);
                match page.next {
                    Some(next) => asked.after = next,
                    None => break,
                }
            }
            assert_eq!((seen, rows.clone()), (sizes, (0..rows.len()).collect()), "{limit:?}");
        }
    }

    #[tokio::test]
    async fn all_rows_take_memory_and_are_refused_when_there_is_not_enough() {
        let budget = Budget::new(0);
        let all = |size: usize| gather(&budget, &ALL, bounds(None, 99), move |_| size, numbers);
        let (page, held) = all(1 << 10).await.unwrap();
        assert_eq!((page.rows.len(), budget.lists.used()), (10, held.bytes()));
        assert!(held.bytes() >= 9 << 10, "{}", held.bytes());
        drop(held);
        let refused = all(1 << 20).await.unwrap_err();
        assert_eq!((refused.code, budget.lists.used()), (ErrorCode::MemoryShort, 0));
        assert!(budget.lists.peak() <= budget.lists.limit());
    }

    #[tokio::test]
    async fn cursors_of_others_are_refused() {
        let asked = Asked { max: Some(2), after: List::Tried.cursor(b"1") };
        assert_eq!(rows_of(&asked, bounds(None, 9), |_| 1, numbers).await.unwrap_err().code, ErrorCode::InvalidRequest);
        assert!(Asked { max: None, after: "x".into() }.check().is_err());
        assert!(Asked { max: Some(0), after: String::new() }.check().is_err());
        assert!(Asked::default().check().is_ok());
    }
}
