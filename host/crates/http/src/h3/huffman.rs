//! The Huffman code of HPACK and QPACK (RFC 7541, appendix B). It is canonical: among codes of one length the
//! next symbol has the next code, so the lengths say everything.

/// Length in bits of each symbol's code; the last is the end of the string, which never stands in one.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10,
    10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6,
    7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23,
    21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22,
    22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27,
    26, 30,
];
const LONGEST: usize = 30;
const END: u16 = 256;

struct Code {
    bits: [u32; 257],
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    /// Of each length that occurs: its bits, the first code after it, aligned to the longest, and what is to be
    /// added to a code for its place among the symbols.
    steps: [(u8, u32, i32); STEPS],
}

const STEPS: usize = {
    let mut seen = [false; LONGEST + 1];
    let (mut i, mut n) = (0, 0);
    while i < LENGTHS.len() {
        n += !seen[LENGTHS[i] as usize] as usize;
        seen[LENGTHS[i] as usize] = true;
        i += 1;
    }
    n
};

static CODE: Code = {
    let mut made = Code { bits: [0; 257], symbols: [0; 257], steps: [(0, 0, 0); STEPS] };
    let (mut length, mut code, mut place, mut step) = (1, 0u32, 0, 0);
    while length <= LONGEST {
        let begin = place;
        let first = code;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                made.bits[symbol] = code;
                made.symbols[place] = symbol as u16;
                code += 1;
                place += 1;
            }
            symbol += 1;
        }
        if place > begin {
            made.steps[step] = (length as u8, code << (LONGEST - length), begin as i32 - first as i32);
            step += 1;
        }
        code <<= 1;
        length += 1;
    }
    made
};

/// The symbol that `n` bits begin with, and its length; `None` if more are needed.
fn symbol(bits: u64, n: u32) -> Option<(u16, u32)> {
    let longest = LONGEST as u32;
    let window = (if n >= longest { bits >> (n - longest) } else { bits << (longest - n) }) as u32;
    let (length, _, offset) = *CODE.steps.iter().find(|(_, after, _)| window < *after)?;
    let length = u32::from(length);
    if length > n {
        return None;
    }
    let place = (window >> (longest - length)) as i32 + offset;
    Some((*CODE.symbols.get(usize::try_from(place).ok()?)?, length))
}

/// Appends the text to `out`; `None` if it is not one.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (mut bits, mut n) = (0u64, 0u32);
    for byte in coded {
        bits = bits << 8 | u64::from(*byte);
        n += 8;
        while let Some((symbol, length)) = symbol(bits, n) {
            if symbol == END {
                return None;
            }
            out.push(symbol as u8);
            n -= length;
            bits &= (1 << n) - 1;
            if n == 0 {
                break;
            }
        }
        // The end of the string, begun inside it.
        if n >= LONGEST as u32 {
            return None;
        }
    }
    // Less than a byte of ones fills the last one.
    (n < 8 && bits == (1 << n) - 1).then_some(())
}

/// Bytes that the text takes when coded.
pub(super) fn length(text: &[u8]) -> usize {
    text.iter().map(|b| usize::from(LENGTHS[usize::from(*b)])).sum::<usize>().div_ceil(8)
}

pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut n) = (0u64, 0u32);
    for byte in text {
        let i = usize::from(*byte);
        bits = bits << LENGTHS[i] | u64::from(CODE.bits[i]);
        n += u32::from(LENGTHS[i]);
        while n >= 8 {
            n -= 8;
            out.push((bits >> n) as u8);
        }
        bits &= (1 << n) - 1;
    }
    if n > 0 {
        out.push((bits << (8 - n)) as u8 | (0xff >> n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    /// RFC 7541, C.4 and C.6.
    #[test]
    fn examples_of_the_rfc() {
        for (text, coded) in [
            ("www.example.com", &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..]),
            ("no-cache", &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]),
            ("custom-value", &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf]),
            ("302", &[0x64, 0x02]),
            ("private", &[0xae, 0xc3, 0x77, 0x1a, 0x4b]),
        ] {
            let mut out = Vec::new();
            encode(text.as_bytes(), &mut out);
            assert_eq!((out.as_slice(), length(text.as_bytes())), (coded, coded.len()), "{text}");
            assert_eq!(decoded(coded).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
        for cut in 0..all.len() {
            let mut out = Vec::new();
            encode(&all[..cut], &mut out);
            assert_eq!(decoded(&out).as_deref(), Some(&all[..cut]));
        }
    }

    #[test]
    fn padding_is_ones_and_short_and_the_end_is_no_symbol() {
        assert_eq!(decoded(&[]), Some(vec![]));
        assert_eq!(decoded(&[0x64, 0x02, 0xff]), None);
        assert_eq!(decoded(&[0xff]), None);
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(decoded(&[0xff; 64]), None);
        // `1` is five zeros and a one
        assert_eq!(decoded(&[0b0000_1000]), None);
        assert_eq!(decoded(&[0b0000_1111]), Some(b"1".to_vec()));
    }
}
