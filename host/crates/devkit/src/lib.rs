//! What the author of a plugin uses: [`new`] writes a project, [`build`] makes a component of one,
//! [`inspect`] looks into any WebAssembly file, [`transcript`] reads the tests of a plugin. Knows the format, not the engine: nothing is run but the
//! build tools of a project.

mod build;
mod inspect;
mod new;
mod project;
#[cfg(test)]
mod testing;
pub mod transcript;
mod wrap;

pub use build::{Build, Built, Describe, build};
pub use inspect::{Format, Report, inspect};
pub use new::{DEFAULT_KIND, DEFAULT_LANG, New, languages, new};
pub use project::{BuildTable, Project};

/// Files that are embedded in the binary, by path with `/`.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// An error with a hint.
fn wrong(key: &str, message: impl Into<String>, hint: impl Into<String>) -> torana_base::Diagnostic {
    torana_base::Diagnostic::error(key, message).hint(hint)
}

/// An error of a file or a folder, named.
fn io(what: &str, path: &std::path::Path, e: &std::io::Error) -> torana_base::Diagnostic {
    torana_base::Diagnostic::error("", format!("cannot {what} {}: {e}", path.display()))
}

/// A closed pipe is no reason to fail.
macro_rules! say {
    ($out:expr, $($text:tt)*) => {
        let _ = writeln!($out, $($text)*);
    };
}
use say;
