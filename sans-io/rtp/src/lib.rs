//! RTP packets, payload formats and RTCP.
