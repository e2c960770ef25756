//! Secrets by the plugin's own name for them (`permissions.secrets`).

/// The secret; `None` when it is not granted.
pub fn get(name: &str) -> Option<String> {
    crate::host::secrets::get(name)
}
