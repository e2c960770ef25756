//! One receiver, and the reports to it.

use crate::address::Address;
use crate::changes::{Reading, Reported};
use crate::influx::Database;
use crate::names::Dialect;
use crate::statsd;
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use torana_base::{Diagnostic, GoDuration, shown};
use torana_config::install::{InfluxDb2Config, StatsdConfig};
use torana_telemetry::metrics::Source;

/// What fails is told this often at most.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Of one report by datagrams.
const PATIENCE: Duration = Duration::from_secs(5);

enum To {
    Lines { address: Address, prefix: String },
    Points(Box<Database>),
}

/// A receiver that is reported to.
pub struct Push {
    to: To,
    dialect: Dialect,
    interval: Duration,
}

fn interval(configured: GoDuration) -> Duration {
    configured.positive().unwrap_or(Duration::from_secs(10))
}

impl Push {
    /// `metrics.statsD`
    pub fn statsd(config: &StatsdConfig) -> Result<Push, Diagnostic> {
        Push::lines(config, Dialect::StatsD, Address::udp(&config.address), "metrics.statsD.address")
    }

    /// `metrics.datadog`; `variable`: of the environment.
    pub fn datadog(config: &StatsdConfig, variable: impl Fn(&str) -> Option<String>) -> Result<Push, Diagnostic> {
        Push::lines(config, Dialect::Datadog, Address::datadog(&config.address, variable), "metrics.datadog.address")
    }

    fn lines(config: &StatsdConfig, dialect: Dialect, address: Result<Address, &str>, key: &str) -> Result<Push, Diagnostic> {
        let address = address.map_err(|why| {
            let d = Diagnostic::error(key, format!("`{}` {why}", shown(&config.address)));
            d.hint("write host and port, such as `localhost:8125`; of Datadog also `unix:///path`")
        })?;
        let prefix = if config.prefix.is_empty() { "traefik".to_owned() } else { config.prefix.clone() };
        Ok(Push { to: To::Lines { address, prefix }, dialect, interval: interval(config.push_interval) })
    }

    /// `metrics.influxDB2`
    pub fn influxdb2(config: &InfluxDb2Config) -> Result<Push, Diagnostic> {
        let to = To::Points(Box::new(Database::new(config)?));
        Ok(Push { to, dialect: Dialect::Influx, interval: interval(config.push_interval) })
    }

    /// Who is reported to.
    pub fn name(&self) -> &'static str {
        match self.dialect {
            Dialect::Datadog => "Datadog",
            Dialect::StatsD => "StatsD",
            Dialect::Influx => "InfluxDB",
        }
    }

    /// Reports at intervals, and once more at `stop`.
    pub async fn run(mut self, source: Source, mut stop: watch::Receiver<bool>) {
        let mut told = Told { receiver: self.name(), at: None, lost: 0 };
        let mut reported = Reported::default();
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            let last = tokio::select! {
                _ = ticks.tick() => false,
                _ = stop.wait_for(|s| *s) => true,
            };
            let source = source.clone();
            let read = tokio::task::spawn_blocking(move || {
                let mut reading = Reading::new();
                source(&mut reading);
                reading
            });
            if let Ok(reading) = read.await {
                self.report(reading, &mut reported, &mut told).await;
            }
            if last {
                return;
            }
        }
    }

    async fn report(&mut self, reading: Reading, reported: &mut Reported, told: &mut Told) {
        let changes = reported.changes(&reading, self.dialect);
        match &mut self.to {
            To::Lines { address, prefix } => {
                let packets = statsd::packets(&changes, prefix, self.dialect);
                let sent = tokio::time::timeout(PATIENCE, address.send(&packets)).await;
                match sent.unwrap_or_else(|_| Err((1, io::ErrorKind::TimedOut.into()))) {
                    Ok(()) => reported.set(reading),
                    // The next report has it all.
                    Err((0, why)) => told.tell(&why.to_string(), 0),
                    Err((sent, why)) => {
                        reported.set(reading);
                        told.tell(&why.to_string(), packets.len().saturating_sub(sent) as u64);
                    }
                }
            }
            To::Points(database) => {
                reported.set(reading);
                let lost = database.put(&changes);
                match database.write().await {
                    Err((dropped, why)) => told.tell(&why, lost + dropped),
                    Ok(()) if lost > 0 => told.tell("too much was waiting", lost),
                    Ok(()) => {}
                }
            }
        }
    }
}

/// What was told of a receiver that takes nothing.
struct Told {
    receiver: &'static str,
    at: Option<Instant>,
    /// Packets or reports, since it was told last.
    lost: u64,
}

impl Told {
    fn tell(&mut self, why: &str, lost: u64) {
        self.lost += lost;
        if self.at.is_some_and(|t| t.elapsed() < TOLD_EVERY) {
            return;
        }
        self.at = Some(Instant::now());
        let (receiver, dropped) = (self.receiver, std::mem::take(&mut self.lost));
        if dropped == 0 {
            tracing::error!(error = why, receiver, "metrics cannot be reported; it is tried again");
        } else {
            tracing::error!(error = why, receiver, dropped, "metrics cannot be reported; some are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_none_are_named() {
        let config = |address: &str| StatsdConfig { address: address.into(), ..Default::default() };
        let keys = [Push::statsd(&config("unix:///a")), Push::datadog(&config("nowhere"), |_| None)].map(|p| p.err().unwrap().key);
        assert_eq!(keys, ["metrics.statsD.address", "metrics.datadog.address"]);
        let prefix = |text: &str| match Push::statsd(&StatsdConfig { prefix: text.into(), ..Default::default() }).unwrap().to {
            To::Lines { prefix, .. } => prefix,
            To::Points(_) => String::new(),
        };
        assert_eq!((prefix(""), prefix("a.b.")), ("traefik".to_owned(), "a.b.".to_owned()));
    }
}
