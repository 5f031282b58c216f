//! HTTP: routes, dashboard, one port for plain and TLS.
