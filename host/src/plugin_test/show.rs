//! What `torana plugin test` prints.

use super::play::{Failed, Measured};
use super::{Miss, Tested};
use serde_json::{Value, json};
use std::fmt::Write as _;
use torana_base::Diagnostic;

/// Lines of the plugin's log that are shown with a failure.
const LOG_LINES: usize = 20;

pub(crate) fn text(t: &Tested) -> String {
    let mut out = String::new();
    let verdict = if t.passed() { "ok  " } else { "FAIL" };
    let _ = write!(out, "{verdict}  {}", t.file);
    if !t.name.is_empty() {
        let _ = write!(out, ": {}", t.name);
    }
    match &t.outcome {
        Ok(played) => {
            if t.passed() {
                let _ = write!(out, " ({})", count(t.steps, "step"));
            }
            out.push('\n');
            played.failed.iter().for_each(|f| failed(&mut out, f));
            played.measured.iter().for_each(|m| measured(&mut out, m));
        }
        Err(wrong) => {
            out.push('\n');
            for d in wrong {
                let _ = writeln!(out, "  {}", d.to_string().replace('\n', "\n  "));
            }
            wrote(&mut out, "  ", &t.log);
        }
    }
    out
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn failed(out: &mut String, f: &Failed) {
    if !f.key.is_empty() {
        let _ = writeln!(out, "  {}  {}", f.key, f.name);
    }
    for m in &f.misses {
        let at = m.place.as_ref().map(|p| format!("  ({p})")).unwrap_or_default();
        let key = m.key.strip_prefix(&format!("{}.", f.key)).unwrap_or(&m.key);
        let _ = writeln!(out, "    {key}{at}");
        difference(out, m);
    }
    wrote(out, "    ", &f.log);
}

/// What the plugin told meanwhile.
fn wrote(out: &mut String, indent: &str, log: &[String]) {
    if log.is_empty() {
        return;
    }
    let _ = writeln!(out, "{indent}the plugin wrote");
    log.iter().take(LOG_LINES).for_each(|line| _ = writeln!(out, "{indent}  {line}"));
    if log.len() > LOG_LINES {
        let _ = writeln!(out, "{indent}  and {} more", count(log.len() - LOG_LINES, "line"));
    }
}

/// Short texts stand under each other; of long ones the lines that differ are marked.
fn difference(out: &mut String, m: &Miss) {
    if !m.wanted.contains('\n') && !m.got.contains('\n') {
        let _ = writeln!(out, "      expected  {}\n      got       {}", m.wanted, m.got);
        return;
    }
    let (wanted, got): (Vec<&str>, Vec<&str>) = (m.wanted.lines().collect(), m.got.lines().collect());
    let same = wanted.iter().zip(&got).take_while(|(a, b)| a == b).count();
    let rest = wanted.len().min(got.len()) - same;
    let tail = wanted.iter().rev().zip(got.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let _ = writeln!(out, "      - expected, + got");
    wanted[..same].iter().for_each(|l| _ = writeln!(out, "        {l}"));
    wanted[same..wanted.len() - tail].iter().for_each(|l| _ = writeln!(out, "      - {l}"));
    got[same..got.len() - tail].iter().for_each(|l| _ = writeln!(out, "      + {l}"));
    got[got.len() - tail..].iter().for_each(|l| _ = writeln!(out, "        {l}"));
}

fn measured(out: &mut String, m: &Measured) {
    let key = if m.key.is_empty() { "budget".to_owned() } else { format!("{}.budget", m.key) };
    let figures: Vec<String> = m.figures.iter().map(|(name, time)| format!("{name} {time:.1?}")).collect();
    let _ = writeln!(out, "      {key}: {} over {}", figures.join(", "), count(m.calls, "call"));
}

pub(crate) fn summary(all: &[Tested]) -> String {
    let passed = all.iter().filter(|t| t.passed()).count();
    match all.len() - passed {
        0 => format!("\n{passed} passed\n"),
        failed => format!("\n{passed} passed, {failed} failed\n"),
    }
}

pub(crate) fn json(all: &[Tested]) -> String {
    let passed = all.iter().filter(|t| t.passed()).count();
    let transcripts: Vec<Value> = all.iter().map(one).collect();
    format!("{:#}\n", json!({"passed": passed, "failed": all.len() - passed, "transcripts": transcripts}))
}

fn one(t: &Tested) -> Value {
    let mut o = json!({"file": t.file, "name": t.name, "passed": t.passed(), "steps": t.steps});
    match &t.outcome {
        Err(wrong) => {
            o["diagnostics"] = wrong.iter().map(Diagnostic::to_json).collect();
            o["log"] = t.log.iter().map(String::as_str).collect();
        }
        Ok(played) => {
            let failures = played.failed.iter().flat_map(|f| f.misses.iter().map(move |m| miss(f, m)));
            o["failures"] = failures.collect();
            o["budgets"] = played
                .measured
                .iter()
                .map(|m| {
                    let mut b = json!({"step": m.key, "calls": m.calls});
                    m.figures.iter().for_each(|(name, time)| b[*name] = json!(time.as_secs_f64()));
                    b
                })
                .collect();
        }
    }
    o
}

fn miss(f: &Failed, m: &Miss) -> Value {
    let mut o = json!({"step": f.key, "stepName": f.name, "key": m.key, "expected": m.wanted, "got": m.got, "log": f.log});
    if let Some(p) = &m.place {
        o["source"] = p.source.as_ref().into();
        if p.line > 0 {
            (o["line"], o["column"]) = (p.line.into(), p.column.into());
        }
    }
    o
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_compared_by_line() {
        let mut out = String::new();
        let m = Miss { key: String::new(), place: None, wanted: "a\nb\nc".into(), got: "a\nx\ny\nc".into() };
        difference(&mut out, &m);
        assert_eq!(out, "      - expected, + got\n        a\n      - b\n      + x\n      + y\n        c\n");
    }
}
