//! Standard output of a plugin is its log.

use crate::state::{MAX_LINES, log_line};
use bytes::Bytes;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Longest line; what is longer is written in parts.
const MAX_LINE: usize = 8 << 10;

#[derive(Clone)]
pub(crate) struct LogStream {
    plugin: Arc<str>,
    level: Level,
    buffer: Arc<Mutex<Vec<u8>>>,
    /// Lines of the current call, those of `log.write` among them.
    lines: Arc<AtomicU32>,
}

impl LogStream {
    pub(crate) fn new(plugin: &Arc<str>, level: Level, lines: &Arc<AtomicU32>) -> Self {
        LogStream { plugin: plugin.clone(), level, buffer: Arc::default(), lines: lines.clone() }
    }

    fn take(&self, bytes: &[u8]) {
        let mut b = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|c| *c == b'\n') {
            let room = MAX_LINE.saturating_sub(b.len());
            b.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") || b.len() >= MAX_LINE {
                self.flush_line(&mut b);
            }
        }
    }

    fn flush_line(&self, b: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(b);
        let text = text.trim_end();
        if !text.is_empty() && self.lines.fetch_add(1, Relaxed) < MAX_LINES {
            log_line(&self.plugin, self.level, text);
        }
        b.clear();
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
