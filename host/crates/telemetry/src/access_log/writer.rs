//! Lines on their way to the file: workers put them into lanes of their own, one thread writes them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// Bytes that wait in a lane, at most, unless `bufferingSize` asks for more.
const ROOM: usize = 16 << 20;
/// What a line of `bufferingSize` is taken for.
const LINE: usize = 1 << 10;
/// How long lines gather while more come than one by one can be written.
const GATHER: Duration = Duration::from_millis(1);
/// Memory that is kept for later lines.
const KEPT: usize = 1 << 20;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines that wait, and when each of them was put there.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    ends: Vec<(Instant, usize)>,
}

impl Pending {
    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.ends.clear();
        self.ends.shrink_to(KEPT / LINE);
    }
}

/// A lane of one worker: nobody else takes its lock, but the writer for the moment of a swap.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane(Mutex<Pending>);

/// What workers and the writing thread share.
#[derive(Debug)]
pub(super) struct Queue {
    /// The last one is for threads that are no workers.
    lanes: Box<[Lane]>,
    /// Bytes in a lane, at most.
    room: usize,
    /// The writer waits to be woken.
    asleep: AtomicBool,
    writer: OnceLock<Thread>,
    reopen: AtomicBool,
    stop: AtomicBool,
    lost: AtomicU64,
}

impl Queue {
    pub(super) fn new(workers: usize, buffering: u64) -> Queue {
        let asked = usize::try_from(buffering).unwrap_or(usize::MAX).saturating_mul(LINE);
        Queue {
            lanes: (0..=workers).map(|_| Lane::default()).collect(),
            room: ROOM.max(asked),
            asleep: AtomicBool::new(false),
            writer: OnceLock::new(),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        }
    }

    /// Puts a line where the writer finds it; `make` appends it. Never waits for the writer: where there is no room
    /// the line is lost, and counted.
    pub(super) fn put(&self, worker: usize, make: impl FnOnce(&mut Vec<u8>)) {
        {
            let mut lane = lock(&self.lanes[worker.min(self.lanes.len() - 1)].0);
            if lane.bytes.len() >= self.room {
                drop(lane);
                self.lost.fetch_add(1, Relaxed);
                return;
            }
            make(&mut lane.bytes);
            let end = lane.bytes.len();
            lane.ends.push((Instant::now(), end));
        }
        if self.asleep.load(SeqCst) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get()
            && self.asleep.swap(false, SeqCst)
        {
            writer.unpark();
        }
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Has the file opened again, once what waits has been written.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, SeqCst);
        self.wake();
    }

    fn empty(&self) -> bool {
        self.lanes.iter().all(|l| lock(&l.0).ends.is_empty())
    }

    /// Moves what waits to `taken`, lane by lane, all of one moment: a line that is there had none before it that is
    /// not.
    fn take(&self, taken: &mut [Pending]) {
        taken.iter_mut().for_each(Pending::clear);
        let mut lanes: Vec<_> = self.lanes.iter().map(|l| lock(&l.0)).collect();
        lanes.iter_mut().zip(taken).for_each(|(lane, taken)| std::mem::swap(&mut **lane, taken));
    }
}

/// The lines of all lanes, in the order in which they were put there. How many there are.
fn merge(taken: &[Pending], all: &mut Vec<u8>) -> u64 {
    all.clear();
    all.shrink_to(KEPT);
    let mut next = vec![0; taken.len()];
    let mut count = 0;
    loop {
        let heads = taken.iter().zip(&next).enumerate().filter_map(|(i, (t, n))| t.ends.get(*n).map(|(at, end)| (*at, i, *end)));
        let Some((_, lane, end)) = heads.min() else { return count };
        let begin = next[lane].checked_sub(1).map_or(0, |before| taken[lane].ends[before].1);
        all.extend_from_slice(&taken[lane].bytes[begin..end]);
        next[lane] += 1;
        count += 1;
    }
}

/// Where lines go.
#[derive(Debug)]
pub(super) enum Sink {
    Stdout,
    File { path: PathBuf, file: File },
}

impl Sink {
    /// Standard output, or a file that is appended to; the folders on the way are made.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Sink> {
        let Some(path) = path else { return Ok(Sink::Stdout) };
        let path = std::path::absolute(path)?;
        Ok(Sink::File { file: open(&path)?, path })
    }

    fn reopen(&mut self) {
        let Sink::File { path, file } = self else { return };
        match open(path) {
            Ok(new) => *file = new,
            Err(error) => tracing::error!(%error, path = %path.display(), "cannot reopen the access log; the old file goes on"),
        }
    }

    /// Writes all of it, and says how much of it was written if that fails.
    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        match self {
            // Locked, so that lines of the other log do not come in between.
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                write_all(&mut out, bytes).and_then(|()| out.flush().map_err(|e| (bytes.len(), e)))
            }
            Sink::File { file, .. } => write_all(file, bytes),
        }
    }
}

/// As Traefik makes it: read by all, written by owner and group.
fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o664).open(path)
}

fn write_all(out: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err((written, e)),
        }
    }
    Ok(())
}

/// The writing thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

impl Writer {
    pub(super) fn spawn(queue: Arc<Queue>, sink: Sink) -> io::Result<Writer> {
        let shared = queue.clone();
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || {
            let _ = shared.writer.set(thread::current());
            Writing { queue: &shared, sink, failing: false, torn: false, told: 0 }.run();
        })?;
        Ok(Writer { queue, thread })
    }

    /// Writes what waits, and ends.
    pub(super) fn close(self) {
        self.queue.stop.store(true, SeqCst);
        self.thread.thread().unpark();
        let _ = self.thread.join();
    }
}

struct Writing<'a> {
    queue: &'a Queue,
    sink: Sink,
    /// The last lines could not be written.
    failing: bool,
    /// The file ends in the middle of a line.
    torn: bool,
    /// Lost lines that were told of.
    told: u64,
}

impl Writing<'_> {
    fn run(mut self) {
        let mut taken: Vec<Pending> = self.queue.lanes.iter().map(|_| Pending::default()).collect();
        let mut all = Vec::new();
        loop {
            let stop = self.queue.stop.load(SeqCst);
            let reopen = self.queue.reopen.swap(false, SeqCst);
            self.queue.take(&mut taken);
            let count = merge(&taken, &mut all);
            if count > 0 {
                self.write(&all, count);
            }
            if reopen {
                self.sink.reopen();
            }
            self.tell();
            match (stop, count > 0) {
                (true, true) => {}
                (true, false) => return,
                (false, true) => thread::park_timeout(GATHER),
                (false, false) => self.wait(),
            }
        }
    }

    /// Until there is something to do.
    fn wait(&self) {
        self.queue.asleep.store(true, SeqCst);
        let idle = || self.queue.empty() && !self.queue.reopen.load(SeqCst) && !self.queue.stop.load(SeqCst);
        // Looked at again after the mark was set: who came before saw none and wakes nobody.
        while idle() && self.queue.asleep.load(SeqCst) {
            thread::park();
        }
        self.queue.asleep.store(false, SeqCst);
    }

    fn write(&mut self, lines: &[u8], count: u64) {
        let done = if self.torn { self.sink.write(b"\n") } else { Ok(()) };
        self.torn &= done.is_err();
        match done.map_err(|(_, e)| (0, e)).and_then(|()| self.sink.write(lines)) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the access log is written again");
                }
            }
            Err((written, error)) => {
                let whole = lines[..written].iter().filter(|b| **b == b'\n').count() as u64;
                let lost = count.saturating_sub(whole);
                // What is told here is not told again as dropped.
                self.told += lost;
                self.queue.lost.fetch_add(lost, Relaxed);
                self.torn |= written > 0 && lines[written - 1] != b'\n';
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the access log cannot be written; its lines are lost until it can");
                }
            }
        }
    }

    /// Tells of lines for which there was no room, once for all that were lost meanwhile.
    fn tell(&mut self) {
        let lost = self.queue.lost();
        let new = lost.saturating_sub(self.told);
        if new > 0 {
            tracing::error!(lines = new, "access log lines were dropped: they come faster than they can be written");
            self.told = lost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u32) -> impl FnOnce(&mut Vec<u8>) {
        move |line| drop(writeln!(line, "{n}"))
    }

    #[test]
    fn lines_stand_in_the_order_in_which_they_came() {
        let queue = Queue::new(2, 0);
        for n in 0..100 {
            queue.put(n % 3, number(n as u32));
        }
        let mut taken: Vec<Pending> = (0..3).map(|_| Pending::default()).collect();
        let mut all = Vec::new();
        queue.take(&mut taken);
        assert_eq!(merge(&taken, &mut all), 100);
        let expected: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert_eq!(String::from_utf8(all).unwrap(), expected);
        assert!(queue.empty());
    }

    #[test]
    fn nothing_is_lost_between_threads_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/access.log");
        let queue = Arc::new(Queue::new(2, 0));
        let writer = Writer::spawn(queue.clone(), Sink::open(Some(&path)).unwrap()).unwrap();
        thread::scope(|s| {
            for worker in 0..3 {
                let (queue, path) = (&queue, &path);
                s.spawn(move || {
                    for n in 0..5000 {
                        queue.put(worker, number(n));
                        if worker == 0 && n % 1000 == 500 {
                            std::fs::rename(path, path.with_extension(n.to_string())).unwrap();
                            queue.reopen();
                            while !path.exists() {
                                thread::yield_now();
                            }
                        }
                    }
                });
            }
        });
        writer.close();
        let files = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|f| f.unwrap().path());
        let mut lines: Vec<u32> =
            files.flat_map(|f| std::fs::read_to_string(f).unwrap().lines().map(|l| l.parse().unwrap()).collect::<Vec<_>>()).collect();
        lines.sort_unstable();
        assert_eq!(lines, (0..5000).flat_map(|n| [n; 3]).collect::<Vec<_>>());
        assert_eq!(queue.lost(), 0);
    }

    #[test]
    fn who_finds_no_room_does_not_wait() {
        let queue = Queue::new(1, 0);
        let line = |bytes: usize| move |line: &mut Vec<u8>| line.resize(line.len() + bytes, b'x');
        queue.put(0, line(ROOM));
        queue.put(0, line(1));
        queue.put(7, line(1));
        assert_eq!(queue.lost(), 1);
        let wide = Queue::new(1, 1 << 20);
        wide.put(0, line(ROOM));
        wide.put(0, line(1));
        assert_eq!(wide.lost(), 0);
    }

    #[test]
    fn a_full_disk_loses_lines_and_no_more() {
        let queue = Arc::new(Queue::new(1, 0));
        let writer = Writer::spawn(queue.clone(), Sink::open(Some(Path::new("/dev/full"))).unwrap()).unwrap();
        queue.put(0, number(1));
        queue.put(0, number(2));
        writer.close();
        assert_eq!(queue.lost(), 2);
    }
}
