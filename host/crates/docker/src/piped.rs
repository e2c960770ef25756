//! Connections that a program carries over its standard input and output.

use std::io::{self, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;

/// How much of what a program complains of is kept.
const KEPT: usize = 8 * 1024;
/// A program that has ended may have left a child that holds its output: no longer than this is waited for it.
const LINGER: Duration = Duration::from_secs(1);

/// What the last program to end has written to its standard error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said(Arc<Mutex<String>>);

impl Said {
    /// The last two lines, which say what went wrong and in what; `None` without any.
    pub(crate) fn last(&self) -> Option<String> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(2)..].join(" ");
        (!last.is_empty()).then_some(last)
    }

    fn put(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

/// Runs a command that speaks over its standard input and output. Our side ends once what it complained of is in `said`.
pub(crate) fn spawned(mut command: Command, said: &Said) -> io::Result<UnixStream> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let output: std::os::fd::OwnedFd = theirs.try_clone()?.into();
    let input: std::os::fd::OwnedFd = theirs.try_clone()?.into();
    let child = command.stdin(Stdio::from(input)).stdout(Stdio::from(output)).stderr(Stdio::piped()).spawn()?;
    // It holds their side too.
    drop(command);
    let said = said.clone();
    // It ends when our side is closed.
    tokio::task::spawn_blocking(move || {
        said.put(complaint(child));
        drop(theirs);
    });
    ours.set_nonblocking(true)?;
    UnixStream::from_std(ours)
}

/// Waits for the end.
fn complaint(mut child: Child) -> String {
    let (sender, receiver) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        std::thread::spawn(move || sender.send(end_of(stderr)));
    }
    let _ = child.wait();
    receiver.recv_timeout(LINGER).unwrap_or_default()
}

/// Reads all, and keeps the end.
fn end_of(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut room = [0; 1024];
    while let Ok(n @ 1..) = stderr.read(&mut room) {
        kept.extend_from_slice(&room[..n]);
        kept.drain(..kept.len().saturating_sub(KEPT));
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn shell(script: &str) -> Command {
        let mut c = Command::new("sh");
        c.args(["-c", script]);
        c
    }

    #[tokio::test]
    async fn what_a_program_complains_of_is_known_when_it_has_ended() {
        let said = Said::default();
        let mut stream =
            spawned(shell("read line; echo \"got $line\"; echo @@@@ >&2; echo no key >&2; echo 'failed. ' >&2"), &said).unwrap();
        stream.write_all(b"it\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!((text.as_str(), said.last().as_deref()), ("got it\n", Some("no key failed.")));
        // The next one says nothing, and much more than is kept.
        for (script, last) in [("true", None), ("yes | head -c 100000 >&2; echo end >&2", Some("y end"))] {
            let mut stream = spawned(shell(script), &said).unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
            assert_eq!(said.last().as_deref(), last);
        }
    }

    #[tokio::test]
    async fn a_child_that_stays_behind_holds_nobody_up() {
        let said = Said::default();
        let mut stream = spawned(shell("sleep 60 </dev/null >/dev/null & exit 1"), &said).unwrap();
        let mut nothing = Vec::new();
        assert_eq!(tokio::time::timeout(LINGER * 10, stream.read_to_end(&mut nothing)).await.unwrap().unwrap(), 0);
    }
}
