//! Which coding a client gets.

use http::header::{ACCEPT_ENCODING, HeaderMap};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

impl Coding {
    pub(super) const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

    pub(super) fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }

    pub(super) fn named(name: &str) -> Option<Coding> {
        Coding::ALL.into_iter().find(|c| c.name() == name)
    }
}

/// What a gateway offers, the dearest first; at least one.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) codings: Vec<Coding>,
    /// For clients that say nothing, or take anything.
    pub(super) default: Option<Coding>,
}

/// What Traefik makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Code(Coding),
    /// As it is, but for `Vary`.
    Vary,
    Nothing,
}

impl Offer {
    pub(super) fn choose(&self, headers: &HeaderMap) -> Choice {
        let mut lines = headers.get_all(ACCEPT_ENCODING).iter().map(|v| String::from_utf8_lossy(v.as_bytes()));
        let Some(first) = lines.next() else { return self.default.map_or(Choice::Nothing, |d| confirm(d, "")) };
        let rest: Vec<_> = lines.collect();
        if first.is_empty() && rest.is_empty() {
            return Choice::Nothing;
        }
        let mut best: Option<(f64, i64, Option<Coding>)> = None;
        for item in std::iter::once(&first).chain(&rest).flat_map(|line| line.split(',')) {
            let Some((weight, rank, coding)) = self.weigh(item) else { continue };
            if best.is_none_or(|(w, r, _)| weight > w || (weight == w && rank < r)) {
                best = Some((weight, rank, coding));
            }
        }
        match best {
            Some((_, _, Some(coding))) => confirm(coding, &first),
            _ => Choice::Nothing,
        }
    }

    /// Weight, place among equals, and the coding that is meant; `identity` means none. Blanks do not count, upper
    /// case is not known.
    fn weigh(&self, item: &str) -> Option<(f64, i64, Option<Coding>)> {
        let item = item.replace(' ', "");
        let (name, parameter) = item.split_once(';').unwrap_or((&item, ""));
        let (rank, coding) = match name {
            "*" => (-1, self.default.or(self.codings.first().copied())),
            "identity" => (self.codings.len() as i64, None),
            name => {
                // The last of two of the same name is the one that Traefik knows.
                let rank = self.codings.iter().rposition(|c| c.name() == name)?;
                (rank as i64, Some(self.codings[rank]))
            }
        };
        let weight = match parameter.strip_prefix("q=") {
            // What is no number weighs nothing, and so does 0.
            Some(q) => q.parse::<f64>().ok().filter(|w| *w != 0.0 && !w.is_nan())?,
            None => 1.0,
        };
        Some((weight, rank, coding))
    }
}

/// Traefik's gzip looks once more at the first line, where `gzip` must stand by its name.
fn confirm(coding: Coding, first: &str) -> Choice {
    if coding != Coding::Gzip {
        return Choice::Code(coding);
    }
    let named = first.split(',').find_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) {
            return None;
        }
        let mut weight = 1.0;
        for part in parts {
            if let Some(q) = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")) {
                weight = q.parse::<f64>().unwrap_or(0.0);
            }
        }
        Some(weight)
    });
    if named.is_some_and(|w| w > 0.0) { Choice::Code(coding) } else { Choice::Vary }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(codings: &[Coding], default: Option<Coding>, lines: &[&str]) -> Choice {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, line.parse().unwrap());
        }
        Offer { codings: codings.to_vec(), default }.choose(&headers)
    }

    #[test]
    fn as_traefik_chooses() {
        use Choice::{Nothing, Vary};
        let (gzip, br, zstd) = (Choice::Code(Coding::Gzip), Choice::Code(Coding::Brotli), Choice::Code(Coding::Zstd));
        for (line, choice) in [
            ("gzip", gzip),
            ("br, gzip", gzip),
            ("br", br),
            ("br;q=1, gzip;q=0.5", br),
            ("gzip;q=0.5, br;q=0.5, zstd;q=0.9", zstd),
            ("gzip;q=0, br;q=0", Nothing),
            ("gzip;q=0, br", br),
            ("", Nothing),
            ("identity", Nothing),
            ("identity, gzip", gzip),
            ("identity;q=1, gzip;q=0.5", Nothing),
            ("*", Vary),
            ("*, br", Vary),
            ("*;q=0.5, br", br),
            ("*;q=0", Nothing),
            ("*, gzip", gzip),
            ("deflate", Nothing),
            ("GZIP", Nothing),
            ("BR, gzip;q=0.1", gzip),
            ("gzip; q=0.5, br; q=0.6", br),
            ("gzip;q=x, br;q=0.1", br),
            ("gzip;foo=1", gzip),
            ("gzip;q=-1, br;q=0.1", br),
            ("gzip;q=1.0;x=y", Nothing),
            ("br;q=5, gzip", br),
        ] {
            assert_eq!(choose(&Coding::ALL, None, &[line]), choice, "{line}");
        }
        let brotli_first = [Coding::Brotli, Coding::Gzip];
        assert_eq!(choose(&brotli_first, None, &["gzip, br"]), br);
        assert_eq!(choose(&brotli_first, None, &["*"]), br);
        assert_eq!(choose(&brotli_first, None, &["zstd"]), Nothing);
        assert_eq!(choose(&Coding::ALL, Some(Coding::Zstd), &["*"]), zstd);
        assert_eq!(choose(&Coding::ALL, Some(Coding::Brotli), &[]), br);
        assert_eq!(choose(&Coding::ALL, Some(Coding::Gzip), &[]), Vary);
        assert_eq!(choose(&Coding::ALL, Some(Coding::Brotli), &[""]), Nothing);
        assert_eq!(choose(&Coding::ALL, None, &[]), Nothing);
        assert_eq!(choose(&Coding::ALL, None, &["br;q=0.1", "gzip"]), Vary);
        assert_eq!(choose(&Coding::ALL, None, &["", "br"]), br);
    }
}
