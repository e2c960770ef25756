use tokio::sync::watch;

/// How far the stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Stop was asked for; entry points still accept for their `requestAcceptGraceTimeout`.
    Stopping,
}

/// The signal to stop, for workers and everything else.
#[derive(Clone)]
pub struct Drain {
    sender: watch::Sender<Phase>,
}

impl Default for Drain {
    fn default() -> Self {
        Drain { sender: watch::Sender::new(Phase::Serving) }
    }
}

impl Drain {
    pub fn start(&self) {
        self.sender.send_replace(Phase::Stopping);
    }

    pub fn is_started(&self) -> bool {
        *self.sender.borrow() == Phase::Stopping
    }

    /// Returns when the stop begins.
    pub async fn started(&self) {
        let mut receiver = self.sender.subscribe();
        let _ = receiver.wait_for(|p| *p == Phase::Stopping).await;
    }
}
