//! The first message of a TLS client: no bytes panic, more bytes never change what has been told, and
//! the message means the same in other records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use torana_tls::{MAX_HELLO, Peeked, Peeker};

fn peek(data: &[u8]) -> Peeked {
    Peeker::default().peek(data)
}

fuzz_target!(|data: &[u8]| {
    let whole = peek(data);
    assert!(whole != Peeked::More || data.len() < MAX_HELLO, "more than the limit is asked for");
    let half = data.len() / 2;
    let mut going = Peeker::default();
    let part = going.peek(data.get(..half).unwrap_or_default());
    if part == Peeked::More {
        assert_eq!(going.peek(data), whole);
    }
    assert!(part == Peeked::More || part == whole, "{part:?} became {whole:?}");
    // The same bytes as the content of one record, and of records of ten bytes.
    let record = |content: &[u8]| [&[22, 3, 1][..], &(content.len() as u16).to_be_bytes(), content].concat();
    if !data.is_empty() && data.len() < 4000 {
        let pieces: Vec<u8> = data.chunks(10).flat_map(record).collect();
        assert_eq!(peek(&record(data)), peek(&pieces));
    }
});
