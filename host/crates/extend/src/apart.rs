//! Work of providers that takes a thread of its own, and what becomes of it when there is a bug in it.

use crate::Stopped;
use std::any::Any;

/// Why work did not come to its end.
#[derive(Debug)]
pub enum Undone {
    /// The gateway is stopping.
    Stopped,
    /// A panic: what is to be said as the reason of [`crate::ProviderOut::failed`]. What the work was given is lost:
    /// whoever gave it starts over, after a pause.
    Bug(String),
}

impl From<Stopped> for Undone {
    fn from(_: Stopped) -> Undone {
        Undone::Stopped
    }
}

/// Does `work` on a thread that may block.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Undone> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(e) if e.is_panic() => Err(Undone::Bug(bug(&*e.into_panic()))),
        // Only a runtime that is being shut down drops the work.
        Err(_) => Err(Undone::Stopped),
    }
}

fn bug(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a bug in Torana: {}; please report it", text.unwrap_or("a panic without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panics_are_told() {
        assert_eq!(apart(|| 1).await.ok(), Some(1));
        let n = 7;
        for formatted in [false, true] {
            let work = move || if formatted { panic!("odd {n}") } else { panic!("odd 7") };
            let Err(Undone::Bug(said)) = apart::<()>(work).await else { panic!("no bug") };
            assert_eq!(said, "a bug in Torana: odd 7; please report it");
        }
    }
}
