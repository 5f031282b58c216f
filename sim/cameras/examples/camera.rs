//! A simulated RTSP camera on a fixed port: `cargo run -p sim-cameras --example camera -- 8654 [jpeg] [USER:PASSWORD] [FAULT]`.

use sim_cameras::{Fault, RtspCamera};

#[tokio::main(flavor = "multi_thread")]
async fn main() -> std::io::Result<()> {
    let mut port = 8654;
    let mut camera = RtspCamera::porch();
    for argument in std::env::args().skip(1) {
        if let Ok(number) = argument.parse() {
            port = number;
        } else if argument == "jpeg" {
            camera = RtspCamera::jpeg();
        } else if let Some((user, password)) = argument.split_once(':') {
            camera = camera.with_login(user, password);
        } else {
            let fault: Fault = argument.parse().map_err(std::io::Error::other)?;
            camera = camera.with_fault(fault);
        }
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    camera.serve(listener).await
}
