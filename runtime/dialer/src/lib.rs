//! How anything reaches a camera: directly or through an agent.
