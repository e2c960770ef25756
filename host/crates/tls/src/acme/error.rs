use std::fmt;
use std::time::SystemTime;

/// Why something with a CA failed. Shown with the CA's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeError {
    pub message: String,
    /// `urn:ietf:params:acme:error:...` when the CA said so (RFC 8555, 6.7).
    pub kind: Option<String>,
    /// Status of the CA's answer.
    pub status: Option<u16>,
    /// Before this the CA does not want to be asked again.
    pub retry_after: Option<SystemTime>,
    /// Trying again cannot help before something is changed.
    pub lasting: bool,
}

impl AcmeError {
    /// Something that is not the CA's doing.
    pub(crate) fn local(message: impl Into<String>) -> Self {
        AcmeError { message: message.into(), kind: None, status: None, retry_after: None, lasting: false }
    }

    /// Something that only another configuration can mend.
    pub(crate) fn lasting(message: impl Into<String>) -> Self {
        AcmeError { lasting: true, ..AcmeError::local(message) }
    }

    /// With what was being done, before the message.
    pub(crate) fn during(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind.as_deref().and_then(|k| k.strip_prefix("urn:ietf:params:acme:error:")) == Some(kind)
    }

    /// Whether the CA wants less.
    pub(crate) fn is_rate_limit(&self) -> bool {
        self.is("rateLimited") || matches!(self.status, Some(429 | 503))
    }
}

impl fmt::Display for AcmeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(kind) = &self.kind {
            write!(f, " ({kind})")?;
        }
        Ok(())
    }
}

impl std::error::Error for AcmeError {}
