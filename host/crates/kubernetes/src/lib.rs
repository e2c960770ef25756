//! Configuration from Kubernetes.
