//! Field lines (RFC 9204, 4.5), without a dynamic table.

use super::huffman;
use super::static_table::{ENTRIES, of_name};

/// The block cannot be decoded: an error of the whole connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

/// A length or an index above this is no honest one.
const LARGEST: u64 = u32::MAX as u64;
const ENTRY_STATUS: u64 = 24;

/// Takes bytes from the front of a block.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, Undecodable> {
        let (first, rest) = self.0.split_first().ok_or(Undecodable)?;
        self.0 = rest;
        Ok(*first)
    }

    /// An integer that begins in the lower bits of a byte that was read (RFC 7541, 5.1).
    fn integer(&mut self, first: u8, bits: u32) -> Result<u64, Undecodable> {
        let mask = (1u64 << bits) - 1;
        let mut n = u64::from(first) & mask;
        if n < mask {
            return Ok(n);
        }
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            n += u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if n <= LARGEST { Ok(n) } else { Err(Undecodable) };
            }
        }
        Err(Undecodable)
    }

    /// A string whose length begins in the lower bits of a byte that was read, below the bit for Huffman.
    fn string<'s>(&mut self, first: u8, bits: u32, room: &'s mut Vec<u8>) -> Result<&'s [u8], Undecodable>
    where
        'a: 's,
    {
        let length = usize::try_from(self.integer(first, bits)?).map_err(|_| Undecodable)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Undecodable)?;
        self.0 = rest;
        if first & (1 << bits) == 0 {
            return Ok(text);
        }
        room.clear();
        huffman::decode(text, room).ok_or(Undecodable)?;
        Ok(room)
    }
}

fn entry(index: u64) -> Result<(&'static str, &'static str), Undecodable> {
    usize::try_from(index).ok().and_then(|i| ENTRIES.get(i)).copied().ok_or(Undecodable)
}

/// Hands every field on, in order, until one is refused.
pub(super) fn decode<E: From<Undecodable>>(block: &[u8], mut field: impl FnMut(&[u8], &[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut r = Reader(block);
    let first = r.byte()?;
    // References to a dynamic table, which we did not allow.
    if r.integer(first, 8)? != 0 {
        return Err(Undecodable.into());
    }
    let first = r.byte()?;
    r.integer(first, 7)?;
    let (mut names, mut values) = (Vec::new(), Vec::new());
    while !r.0.is_empty() {
        let first = r.byte()?;
        match first {
            0xc0.. => {
                let (name, value) = entry(r.integer(first, 6)?)?;
                field(name.as_bytes(), value.as_bytes())?;
            }
            0x40..0x80 if first & 0x10 != 0 => {
                let (name, _) = entry(r.integer(first, 4)?)?;
                let length = r.byte()?;
                field(name.as_bytes(), r.string(length, 7, &mut values)?)?;
            }
            0x20..0x40 => {
                let name = r.string(first, 3, &mut names)?;
                let length = r.byte()?;
                field(name, r.string(length, 7, &mut values)?)?;
            }
            _ => return Err(Undecodable.into()),
        }
    }
    Ok(())
}

fn write_integer(mut n: u64, flags: u8, bits: u32, out: &mut Vec<u8>) {
    let mask = (1u64 << bits) - 1;
    if n < mask {
        return out.push(flags | n as u8);
    }
    out.push(flags | mask as u8);
    n -= mask;
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn write_string(text: &[u8], flags: u8, bits: u32, out: &mut Vec<u8>) {
    let coded = huffman::length(text);
    if coded < text.len() {
        write_integer(coded as u64, flags | 1 << bits, bits, out);
        huffman::encode(text, out);
    } else {
        write_integer(text.len() as u64, flags, bits, out);
        out.extend_from_slice(text);
    }
}

/// What a block begins with: no dynamic table.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend([0, 0]);
}

/// Appends a field. One that is `sensitive` must never be kept in a table by anybody on the way.
pub(super) fn write(name: &str, value: &[u8], sensitive: bool, out: &mut Vec<u8>) {
    let known = of_name(name);
    let whole = known.iter().find(|i| ENTRIES.get(usize::from(**i)).is_some_and(|(_, v)| v.as_bytes() == value));
    match (whole, known.first()) {
        (Some(i), _) if !sensitive => write_integer(u64::from(*i), 0xc0, 6, out),
        (_, Some(i)) => {
            write_integer(u64::from(*i), if sensitive { 0x70 } else { 0x50 }, 4, out);
            write_string(value, 0, 7, out);
        }
        _ => {
            write_string(name.as_bytes(), if sensitive { 0x30 } else { 0x20 }, 3, out);
            write_string(value, 0, 7, out);
        }
    }
}

pub(super) fn write_status(status: &str, out: &mut Vec<u8>) {
    match of_name(":status").iter().find(|i| ENTRIES.get(usize::from(**i)).is_some_and(|(_, v)| *v == status)) {
        Some(i) => write_integer(u64::from(*i), 0xc0, 6, out),
        None => {
            write_integer(ENTRY_STATUS, 0x50, 4, out);
            write_string(status.as_bytes(), 0, 7, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(block: &[u8]) -> Result<Vec<(String, String)>, Undecodable> {
        let mut all = Vec::new();
        decode(block, |n, v| {
            all.push((String::from_utf8_lossy(n).into_owned(), String::from_utf8_lossy(v).into_owned()));
            Ok::<(), Undecodable>(())
        })?;
        Ok(all)
    }

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    /// RFC 9204, B.1.
    #[test]
    fn example_of_the_rfc() {
        let block = [&[0, 0, 0x51, 0x0b][..], b"/index.html"].concat();
        assert_eq!(fields(&block), Ok(vec![pair(":path", "/index.html")]));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        begin(&mut out);
        write_status("200", &mut out);
        write_status("418", &mut out);
        let long = "x".repeat(5000);
        let all = [
            ("content-type", "text/plain"),
            ("content-type", "text/x-none"),
            ("x-own", "\u{1}~~~\u{7f}"),
            ("x-long", &long),
            ("server", ""),
            ("set-cookie", "a=b"),
        ];
        for (name, value) in all {
            write(name, value.as_bytes(), name == "set-cookie", &mut out);
        }
        let mut wanted = vec![pair(":status", "200"), pair(":status", "418")];
        wanted.extend(all.map(|(n, v)| pair(n, v)));
        assert_eq!(fields(&out), Ok(wanted));
        for cut in 2..out.len() {
            let _ = fields(&out[..cut]);
        }
    }

    #[test]
    fn dynamic_tables_and_nonsense_are_refused() {
        for bad in [
            &[][..],
            &[0],
            &[1, 0],
            &[0, 0, 0x80],             // indexed, dynamic
            &[0, 0, 0x40, 0],          // name of the dynamic table
            &[0, 0, 0x10],             // after the base
            &[0, 0, 0x00, 0],          // after the base
            &[0, 0, 0xff, 0x24],       // entry 99
            &[0, 0, 0x51],             // no value
            &[0, 0, 0x51, 0x05, b'/'], // a short one
            &[0, 0, 0x51, 0x81, 0x00], // bad padding
            &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(fields(bad), Err(Undecodable), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_block_panics(block: Vec<u8>) {
            let _ = fields(&block);
            let _ = fields(&[&[0, 0][..], &block].concat());
        }

        #[test]
        fn any_field_comes_back(name in "[a-z0-9-]{1,40}", value: Vec<u8>) {
            let mut out = Vec::new();
            begin(&mut out);
            write(&name, &value, false, &mut out);
            let mut seen = Vec::new();
            decode(&out, |n, v| { seen.push((n.to_vec(), v.to_vec())); Ok::<(), Undecodable>(()) }).unwrap();
            prop_assert_eq!(seen, vec![(name.into_bytes(), value)]);
        }
    }
}
