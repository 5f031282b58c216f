//! Camera side: one driver per protocol, under one supervisor.
