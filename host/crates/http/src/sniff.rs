//! What kind of content begins with some bytes: the algorithm of the WHATWG (mimesniff.spec.whatwg.org) as Go has it.

/// Bytes that are looked at.
pub const LOOKED_AT: usize = 512;

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Tags that begin a page, in upper case; a space or `>` follows.
const TAGS: [&[u8]; 17] = [
    b"<!DOCTYPE HTML",
    b"<HTML",
    b"<HEAD",
    b"<SCRIPT",
    b"<IFRAME",
    b"<H1",
    b"<DIV",
    b"<FONT",
    b"<TABLE",
    b"<A",
    b"<STYLE",
    b"<TITLE",
    b"<B",
    b"<BODY",
    b"<BR",
    b"<P",
    b"<!--",
];

/// What stands at which place.
struct Signature {
    parts: &'static [(usize, &'static [u8])],
    /// Bytes that there must be at least.
    length: usize,
    kind: &'static str,
}

const fn exact(parts: &'static [(usize, &'static [u8])], length: usize, kind: &'static str) -> Signature {
    Signature { parts, length, kind }
}

/// Before the search for MP4, in Go's order.
const EARLY: &[Signature] = &[
    exact(&[(0, b"%PDF-")], 5, "application/pdf"),
    exact(&[(0, b"%!PS-Adobe-")], 11, "application/postscript"),
    exact(&[(0, b"\xFE\xFF")], 4, "text/plain; charset=utf-16be"),
    exact(&[(0, b"\xFF\xFE")], 4, "text/plain; charset=utf-16le"),
    exact(&[(0, b"\xEF\xBB\xBF")], 4, TEXT),
    exact(&[(0, b"\x00\x00\x01\x00")], 4, "image/x-icon"),
    exact(&[(0, b"\x00\x00\x02\x00")], 4, "image/x-icon"),
    exact(&[(0, b"BM")], 2, "image/bmp"),
    exact(&[(0, b"GIF87a")], 6, "image/gif"),
    exact(&[(0, b"GIF89a")], 6, "image/gif"),
    exact(&[(0, b"RIFF"), (8, b"WEBPVP")], 14, "image/webp"),
    exact(&[(0, b"\x89PNG\r\n\x1A\n")], 8, "image/png"),
    exact(&[(0, b"\xFF\xD8\xFF")], 3, "image/jpeg"),
    exact(&[(0, b"FORM"), (8, b"AIFF")], 12, "audio/aiff"),
    exact(&[(0, b"ID3")], 3, "audio/mpeg"),
    exact(&[(0, b"OggS\x00")], 5, "application/ogg"),
    exact(&[(0, b"MThd\x00\x00\x00\x06")], 8, "audio/midi"),
    exact(&[(0, b"RIFF"), (8, b"AVI ")], 12, "video/avi"),
    exact(&[(0, b"RIFF"), (8, b"WAVE")], 12, "audio/wave"),
];

const LATE: &[Signature] = &[
    exact(&[(0, b"\x1A\x45\xDF\xA3")], 4, "video/webm"),
    exact(&[(34, b"LP")], 36, "application/vnd.ms-fontobject"),
    exact(&[(0, b"\x00\x01\x00\x00")], 4, "font/ttf"),
    exact(&[(0, b"OTTO")], 4, "font/otf"),
    exact(&[(0, b"ttcf")], 4, "font/collection"),
    exact(&[(0, b"wOFF")], 4, "font/woff"),
    exact(&[(0, b"wOF2")], 4, "font/woff2"),
    exact(&[(0, b"\x1F\x8B\x08")], 3, "application/x-gzip"),
    exact(&[(0, b"PK\x03\x04")], 4, "application/zip"),
    exact(&[(0, b"Rar!\x1A\x07\x00")], 7, "application/x-rar-compressed"),
    exact(&[(0, b"Rar!\x1A\x07\x01\x00")], 8, "application/x-rar-compressed"),
    exact(&[(0, b"\x00asm")], 4, "application/wasm"),
];

impl Signature {
    fn fits(&self, data: &[u8]) -> bool {
        data.len() >= self.length && self.parts.iter().all(|(at, part)| data.get(*at..at + part.len()) == Some(*part))
    }
}

/// The media type of what begins with `data`.
pub fn kind(data: &[u8]) -> &'static str {
    let data = &data[..data.len().min(LOOKED_AT)];
    let first = data.iter().position(|b| !matches!(b, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')).unwrap_or(data.len());
    let bare = &data[first..];
    if TAGS.iter().any(|tag| is_tag(bare, tag)) {
        return HTML;
    }
    if bare.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    let of = |list: &'static [Signature]| list.iter().find(|s| s.fits(data)).map(|s| s.kind);
    let binary = |b: &u8| matches!(b, 0x00..=0x08 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F);
    of(EARLY).or_else(|| is_mp4(data).then_some("video/mp4")).or_else(|| of(LATE)).unwrap_or(if bare.iter().any(binary) {
        "application/octet-stream"
    } else {
        TEXT
    })
}

fn is_tag(data: &[u8], tag: &[u8]) -> bool {
    data.split_at_checked(tag.len())
        .is_some_and(|(start, rest)| start.eq_ignore_ascii_case(tag) && matches!(rest.first(), Some(b' ' | b'>')))
}

/// A box `ftyp` that is whole and names a brand of MP4.
fn is_mp4(data: &[u8]) -> bool {
    let (Some(size), Some(b"ftyp")) = (data.first_chunk().map(|s| u32::from_be_bytes(*s) as usize), data.get(4..8)) else { return false };
    data.len() >= 12
        && size.is_multiple_of(4)
        && data.get(8..size).is_some_and(|brands| brands.chunks(4).enumerate().any(|(i, b)| i != 1 && b.starts_with(b"mp4")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with Traefik 3.7.15 by the cases `ctt-*`.
    #[test]
    fn kinds() {
        let mut eot = vec![1; 34];
        eot.extend(b"LP\x00");
        for (data, expected) in [
            (&b""[..], TEXT),
            (b" \n\t<HtMl>", HTML),
            (b"<html", TEXT),
            (b"<htmlx>", TEXT),
            (b"<!doctype html>", HTML),
            (b"<!DOCTYPE xhtml>", TEXT),
            (b"<a href>", HTML),
            (b"<article>", TEXT),
            (b"<!-- x", HTML),
            (b"  <?xml version", "text/xml; charset=utf-8"),
            (b"<?XML", TEXT),
            (b"{\"a\": 1}", TEXT),
            (b"%PDF-1.4", "application/pdf"),
            (b" %PDF-1.4", TEXT),
            (b"\xFE\xFFab", "text/plain; charset=utf-16be"),
            (b"\xFE\xFFa", TEXT),
            (b"\xEF\xBB\xBFa", TEXT),
            (b"BM", "image/bmp"),
            (b"RIFF1234WEBPVP8 ", "image/webp"),
            (b"RIFF1234WAVEfmt", "audio/wave"),
            (b"\x89PNG\r\n\x1A\n...", "image/png"),
            (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42", "video/mp4"),
            (b"\x00\x00\x00\x18ftypxxxxmp42isomiso2", "application/octet-stream"),
            (b"\x00\x00\x00\x19ftypmp42\x00\x00\x00\x00isommp42.", "application/octet-stream"),
            (b"\x00\x00\xFF\x18ftypmp42", "application/octet-stream"),
            (b"\x1A\x45\xDF\xA3", "video/webm"),
            (&eot, "application/vnd.ms-fontobject"),
            (b"\x1F\x8B\x08\x00", "application/x-gzip"),
            (b"PK\x03\x04", "application/zip"),
            (b"\x00asm", "application/wasm"),
            (b"a\x00", "application/octet-stream"),
            (b"a\x1Bb", TEXT),
            (b"a\x0Bb", "application/octet-stream"),
            (b"\xC3\xA9", TEXT),
        ] {
            assert_eq!(kind(data), expected, "{}", String::from_utf8_lossy(data));
        }
        let mut long = vec![b'a'; 512];
        long.push(0);
        assert_eq!(kind(&long), TEXT, "what comes later does not count");
    }
}
