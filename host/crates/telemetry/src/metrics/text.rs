//! The text format of Prometheus, version 0.0.4.

use super::Reader;
use crate::names::Family;
use std::fmt::Write;

/// Families and samples, as they are written out.
#[derive(Debug, Default)]
pub struct Text {
    out: String,
    family: &'static str,
}

impl Text {
    /// Begins a family; the samples that follow belong to it. `kind`: `counter`, `gauge` or `histogram`.
    pub fn family(&mut self, name: &'static str, help: &str, kind: &str) {
        self.family = name;
        let _ = write!(self.out, "# HELP {name} ");
        for c in help.chars() {
            match c {
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                c => self.out.push(c),
            }
        }
        let _ = writeln!(self.out, "\n# TYPE {name} {kind}");
    }

    /// A sample of the current family; `suffix` is what a histogram adds to the name.
    pub fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.out.push_str(self.family);
        self.out.push_str(suffix);
        if !labels.is_empty() {
            for (i, (name, value)) in labels.iter().enumerate() {
                self.out.push(if i == 0 { '{' } else { ',' });
                self.out.push_str(name);
                self.out.push_str("=\"");
                for c in value.chars() {
                    match c {
                        '\\' => self.out.push_str("\\\\"),
                        '"' => self.out.push_str("\\\""),
                        '\n' => self.out.push_str("\\n"),
                        c => self.out.push(c),
                    }
                }
                self.out.push('"');
            }
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {}", number(value));
    }

    /// The samples of one histogram. `buckets`: how many fell into each, not added up, and one more for what is
    /// above the last of `bounds`.
    pub fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[f64], buckets: &[u64], sum: f64) {
        let mut below = 0;
        let bounds = bounds.iter().map(|b| number(*b)).chain(["+Inf".to_owned()]);
        for (bound, n) in bounds.zip(buckets) {
            below += n;
            let labels: Vec<(&str, &str)> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.sample("_bucket", &labels, below as f64);
        }
        self.sample("_sum", labels, sum);
        self.sample("_count", labels, below as f64);
    }

    pub fn finish(self) -> String {
        self.out
    }
}

impl Reader for Text {
    fn family(&mut self, family: Family) {
        Text::family(self, family.name, family.help, family.kind);
    }

    fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample("", labels, value);
    }

    fn durations(&mut self, labels: &[(&str, &str)], bounds: &[f64], buckets: &[u64], seconds: f64) {
        self.histogram(labels, bounds, buckets, seconds);
    }
}

fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

/// Whether a label may have this name in the classic character set; those with two underscores in front are
/// Prometheus's own.
pub fn is_label_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_line_is_escaped() {
        let mut t = Text::default();
        t.family("f_total", "a\\b\nc \"d\"", "counter");
        t.sample("", &[("x", "q\"\\b\nü"), ("y", "")], 2.0);
        t.sample("", &[], 0.5);
        assert_eq!(
            t.finish(),
            "# HELP f_total a\\\\b\\nc \"d\"\n# TYPE f_total counter\nf_total{x=\"q\\\"\\\\b\\nü\",y=\"\"} 2\nf_total 0.5\n"
        );
    }

    #[test]
    fn buckets_are_added_up() {
        let mut t = Text::default();
        t.family("h", "h", "histogram");
        t.histogram(&[("a", "b")], &[0.1, 5.0], &[3, 0, 2], 11.5);
        let expected = "h_bucket{a=\"b\",le=\"0.1\"} 3\nh_bucket{a=\"b\",le=\"5\"} 3\nh_bucket{a=\"b\",le=\"+Inf\"} 5\nh_sum{a=\"b\"} 11.5\nh_count{a=\"b\"} 5\n";
        assert!(t.finish().ends_with(expected));
    }

    #[test]
    fn numbers() {
        for (value, text) in [(0.0, "0"), (f64::NAN, "NaN"), (f64::INFINITY, "+Inf"), (f64::NEG_INFINITY, "-Inf"), (1.5e9, "1500000000")] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn label_names() {
        for (name, good) in [("a_1", true), ("_x", true), ("", false), ("1a", false), ("a-b", false), ("__a", false), ("ä", false)] {
            assert_eq!(is_label_name(name), good, "{name}");
        }
    }
}
