//! The agent's protocol: join codes, hello, open, keep-alive.
