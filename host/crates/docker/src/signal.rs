//! Which signals end a container, and which are messages.

use crate::container::Stop;

/// Whether a signal, by its number, means the end.
pub(crate) fn ends(signal: &str, stop: Option<&Stop>) -> bool {
    // KILL, TERM, INT
    if matches!(signal, "9" | "15" | "2") {
        return true;
    }
    stop.is_some_and(|s| number(&s.signal).is_some_and(|n| n == signal))
}

/// `SIGQUIT`, `QUIT` or `3`
fn number(signal: &str) -> Option<String> {
    let name = signal.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if name.parse::<u8>().is_ok() {
        return Some(name.to_owned());
    }
    if let Some(n) = name.strip_prefix("RTMIN+").and_then(|n| n.parse::<u8>().ok()) {
        return n.checked_add(34).map(|n| n.to_string());
    }
    let names = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", 15),
        ("CONT", 18),
        ("TSTP", 20),
        ("WINCH", 28),
        ("PWR", 30),
        ("RTMIN", 34),
    ];
    names.iter().find(|(n, _)| *n == name).map(|(_, n)| n.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_signals() {
        for (text, expected) in [
            ("SIGQUIT", Some("3")),
            ("quit", Some("3")),
            ("3", Some("3")),
            ("SIGRTMIN+3", Some("37")),
            ("SIGRTMIN+250", None),
            ("SIGX", None),
        ] {
            assert_eq!(number(text).as_deref(), expected, "{text}");
        }
    }
}
