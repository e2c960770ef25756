//! Certificates from an ACME authority (RFC 8555): account, orders, challenges, storage and renewal.
