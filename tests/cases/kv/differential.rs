//! The same keys in Torana and in the real Traefik.
