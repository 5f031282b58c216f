//! The gateway's half of the tunnel: agents, dialing through them, forwards.
