//! Parameters of lists: which objects, in which order, which part of them.

use crate::Refusal;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::num::IntErrorKind;
use torana_base::Diagnostic;
use torana_control::State;

/// What a list can be searched and sorted by.
pub(crate) trait Row {
    fn name(&self) -> &str;

    fn provider(&self) -> &str;

    /// As it is shown: `enabled`.
    fn status(&self) -> &'static str;

    /// Whether one of its texts that can be searched is looked for.
    fn is_found(&self, found: &dyn Fn(&str) -> bool) -> bool {
        found(self.name())
    }

    /// What else there is to sort by.
    fn key(&self, _by: &str) -> Option<Key<'_>> {
        None
    }

    fn has_service(&self, _name: &str) -> bool {
        true
    }

    fn has_middleware(&self, _name: &str) -> bool {
        true
    }
}

/// A value to sort by; rows of one list give the same variant.
pub(crate) enum Key<'a> {
    Text(&'a str),
    /// Whose case does not count.
    Folded(&'a str),
    Number(i64),
}

impl Key<'_> {
    fn compare(&self, other: &Self) -> Ordering {
        let lower = |b: u8| b.to_ascii_lowercase();
        match (self, other) {
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            (Key::Folded(a), Key::Folded(b)) => a.bytes().map(lower).cmp(b.bytes().map(lower)),
            (Key::Number(a), Key::Number(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }
}

/// A part of a list.
pub(crate) struct Page<R> {
    pub items: Vec<R>,
    /// Number of the next page, 1 when there is none.
    pub next: u64,
}

/// The query of a request. Empty values count as none.
#[derive(Default)]
pub(crate) struct Query<'a> {
    search: Cow<'a, str>,
    status: Cow<'a, str>,
    service: Cow<'a, str>,
    middleware: Cow<'a, str>,
    sort_by: Cow<'a, str>,
    direction: Cow<'a, str>,
    page: Cow<'a, str>,
    per_page: Cow<'a, str>,
}

impl<'a> Query<'a> {
    /// The first value of each parameter; what is wrongly escaped is passed over.
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut query = Query::default();
        let mut seen = 0u8;
        for (key, value) in text.split(['&', ';']).filter_map(|pair| pair.split_once('=')) {
            let (Some(key), Some(value)) = (decode(key), decode(value)) else { continue };
            let (bit, slot) = match &*key {
                "search" => (1, &mut query.search),
                "status" => (2, &mut query.status),
                "serviceName" => (4, &mut query.service),
                "middlewareName" => (8, &mut query.middleware),
                "sortBy" => (16, &mut query.sort_by),
                "direction" => (32, &mut query.direction),
                "page" => (64, &mut query.page),
                "per_page" => (128, &mut query.per_page),
                _ => continue,
            };
            if seen & bit == 0 {
                seen |= bit;
                *slot = value;
            }
        }
        query
    }

    /// Everything on one page, unless the length of pages is asked for.
    pub(crate) fn whole(mut self) -> Self {
        if self.per_page.is_empty() {
            self.per_page = i64::MAX.to_string().into();
        }
        self
    }

    /// Filters, sorts and cuts. `rows` come sorted by name.
    pub(crate) fn select<R: Row>(&self, mut rows: Vec<R>) -> Result<Page<R>, Refusal> {
        let search = self.search.to_lowercase();
        let found = |text: &str| text.to_lowercase().contains(&search);
        rows.retain(|r| {
            (self.service.is_empty() || r.has_service(&self.service))
                && (self.middleware.is_empty() || r.has_middleware(&self.middleware))
                && (self.status.is_empty() || self.status.eq_ignore_ascii_case(r.status()))
                && (search.is_empty() || r.is_found(&found))
        });
        // Stable: equal ones stay sorted by name.
        rows.sort_by(|a, b| match (self.key(a), self.key(b)) {
            (Some(a), Some(b)) => a.compare(&b),
            _ => Ordering::Equal,
        });
        if !matches!(&*self.direction, "" | "asc") {
            rows.reverse();
        }
        self.page(rows)
    }

    /// `None` to sort by name.
    fn key<'r, R: Row>(&self, row: &'r R) -> Option<Key<'r>> {
        match &*self.sort_by {
            "" | "name" => None,
            "provider" => Some(Key::Text(row.provider())),
            "status" => Some(Key::Text(row.status())),
            by => row.key(by),
        }
    }

    /// Cuts.
    pub(crate) fn page<R>(&self, rows: Vec<R>) -> Result<Page<R>, Refusal> {
        let per_page = positive("per_page", &self.per_page, 100)?;
        let page = positive("page", &self.page, 1)?;
        let start = (page - 1).saturating_mul(per_page);
        let total = rows.len() as u64;
        if start > 0 && start >= total {
            return Err(Refusal::Request(format!("invalid request: page: {page}, per_page: {per_page}")));
        }
        let next = if start.saturating_add(per_page) < total { page + 1 } else { 1 };
        let clamp = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Ok(Page { items: rows.into_iter().skip(clamp(start)).take(clamp(per_page)).collect(), next })
    }
}

pub(crate) fn state_name(state: State) -> &'static str {
    match state {
        State::Enabled => "enabled",
        State::Warning => "warning",
        State::Disabled => "disabled",
    }
}

/// A number of at least 1. The refusal shows what was understood: 0 for what is no number.
fn positive(name: &str, text: &str, default: u64) -> Result<u64, Refusal> {
    if text.is_empty() {
        return Ok(default);
    }
    let understood = match text.parse::<i64>() {
        Ok(n) if n > 0 => return Ok(n.unsigned_abs()),
        Ok(n) => n,
        Err(e) => match e.kind() {
            IntErrorKind::PosOverflow => i64::MAX,
            IntErrorKind::NegOverflow => i64::MIN,
            _ => 0,
        },
    };
    Err(Refusal::Request(format!("invalid request: {name}: {understood}")))
}

/// A form value; `None` when an escape is broken.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let whole = |escape: &str| matches!(escape.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    if !text.split('%').skip(1).all(whole) {
        return None;
    }
    let spaced = text.replace('+', " ");
    Some(Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned()))
}

impl Row for &Diagnostic {
    fn name(&self) -> &str {
        &self.key
    }

    fn provider(&self) -> &str {
        ""
    }

    fn status(&self) -> &'static str {
        if self.is_error() { "error" } else { "warning" }
    }
}
