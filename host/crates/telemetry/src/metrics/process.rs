//! What the kernel tells of the process (proc(5)), under the names that Prometheus's own clients give it.

use super::begin;
use super::text::Text;
use crate::names;
use std::fs;
use std::sync::OnceLock;

/// Clock ticks in a second: `USER_HZ`, the same on every Linux that there is a Rust target for.
const TICKS: f64 = 100.0;
const PAGE: f64 = 4096.0;

/// Writes what can be read; the rest is left out.
pub fn write(text: &mut Text) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let stat = Stat::parse(&stat);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let (received, sent) = network(&fs::read_to_string("/proc/self/net/dev").unwrap_or_default());
    // Without the one that reads the folder.
    let open = fs::read_dir("/proc/self/fd").ok().map(|d| d.count().saturating_sub(1) as f64);
    let all = [
        (names::PROCESS_CPU, stat.as_ref().map(|s| s.cpu)),
        (names::PROCESS_MAX_FDS, limit(&limits, "Max open files")),
        (names::PROCESS_RECEIVED, received),
        (names::PROCESS_SENT, sent),
        (names::PROCESS_OPEN_FDS, open),
        (names::PROCESS_RESIDENT, resident().or(stat.as_ref().map(|s| s.pages * PAGE))),
        (names::PROCESS_START, stat.as_ref().and_then(|s| Some(s.start + boot()?))),
        (names::PROCESS_VIRTUAL, stat.as_ref().map(|s| s.size)),
        (names::PROCESS_VIRTUAL_MAX, limit(&limits, "Max address space")),
        (names::PROCESS_THREADS, stat.as_ref().map(|s| s.threads)),
    ];
    for (family, value) in all {
        if let Some(value) = value {
            begin(text, family);
            text.sample("", &[], value);
        }
    }
}

#[derive(Debug, PartialEq)]
struct Stat {
    /// Seconds.
    cpu: f64,
    threads: f64,
    /// Seconds after the machine's start.
    start: f64,
    /// Bytes.
    size: f64,
    pages: f64,
}

impl Stat {
    /// The name of the process may hold anything, blanks and parentheses too.
    fn parse(text: &str) -> Option<Stat> {
        let fields: Vec<f64> = text.rsplit_once(')')?.1.split_whitespace().skip(1).map(|f| f.parse().unwrap_or_default()).collect();
        // Numbered as in proc(5): `ppid`, field 4, is the first here.
        let field = |n: usize| fields.get(n - 4).copied();
        Some(Stat {
            cpu: (field(14)? + field(15)?) / TICKS,
            threads: field(20)?,
            start: field(22)? / TICKS,
            size: field(23)?,
            pages: field(24)?,
        })
    }
}

/// In kB there, whatever the size of a page is.
fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

/// When the machine started, in seconds since 1970.
fn boot() -> Option<f64> {
    static BOOT: OnceLock<Option<f64>> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let text = fs::read_to_string("/proc/stat").ok()?;
        text.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok()
    })
}

/// The soft limit. "Unlimited" is the largest number, as Go's client has it.
fn limit(text: &str, name: &str) -> Option<f64> {
    let first = text.lines().find_map(|l| l.strip_prefix(name))?.split_whitespace().next()?;
    if first == "unlimited" { Some(u64::MAX as f64) } else { first.parse().ok() }
}

/// Bytes received and sent on all interfaces.
fn network(text: &str) -> (Option<f64>, Option<f64>) {
    let mut sums: Option<(f64, f64)> = None;
    for (_, figures) in text.lines().filter_map(|l| l.split_once(':')) {
        let figures: Vec<f64> = figures.split_whitespace().map(|f| f.parse().unwrap_or_default()).collect();
        if let (Some(received), Some(sent)) = (figures.first(), figures.get(8)) {
            let (r, s) = sums.unwrap_or_default();
            sums = Some((r + received, s + sent));
        }
    }
    (sums.map(|s| s.0), sums.map(|s| s.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 7 0 1000 8192000 300 18446744073709551615 1 1";
        assert_eq!(Stat::parse(stat), Some(Stat { cpu: 3.0, threads: 7.0, start: 10.0, size: 8_192_000.0, pages: 300.0 }));
        assert_eq!(Stat::parse("42 (a) S 1"), None);
        let limits = "Max open files            1024                 4096                 files\nMax address space         unlimited            unlimited            bytes\n";
        assert_eq!(limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(limit(limits, "Max address space"), Some(1.844_674_407_370_955_2e19));
        let dev =
            "Inter-| Receive\n face |bytes packets\n    lo: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n  eth0: 5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n";
        assert_eq!(network(dev), (Some(15.0), Some(26.0)));
    }

    #[test]
    fn this_process_is_told() {
        let mut text = Text::default();
        write(&mut text);
        let text = text.finish();
        for name in ["process_cpu_seconds_total ", "process_resident_memory_bytes ", "process_open_fds ", "process_start_time_seconds "] {
            let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("no {name} in\n{text}"));
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() >= 0.0);
        }
    }
}
