//! WebSockets: pictures for pages, and the agents' door.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{
    Error, Message, client::IntoClientRequest, http::HeaderValue,
};

use crate::world::{Gateway, publish_h264, status};

type Socket<S> = tokio_tungstenite::WebSocketStream<S>;

#[tokio::test]
async fn a_page_gets_the_picture_over_its_websocket() {
    let gateway = Gateway::start().await;
    publish_h264(&gateway.hub, "porch");
    let mut socket = open(&gateway, "/api/v1/cameras/porch/ws", None)
        .await
        .unwrap();
    let init = next(&mut socket).await;
    assert!(init.to_text().unwrap().contains("\"init\""), "{init:?}");
    let segment = next(&mut socket).await;
    assert_eq!(segment.into_data().get(4..8), Some(b"ftyp".as_slice()));
    let fragment = next(&mut socket).await;
    assert!(fragment.is_binary());
    assert_eq!(
        gateway.json("/api/v1/cameras/porch").await["viewers"]["by_output"]["mse"],
        1
    );
    assert_eq!(gateway.hub.stream("porch").unwrap().leases(), 1);
    socket.send(Message::Close(None)).await.unwrap();
    drop(socket);
    let stream = gateway.hub.stream("porch").unwrap();
    tokio::time::timeout(Duration::from_secs(2), stream.unwanted(Duration::ZERO))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_shutdown_says_goodbye_to_viewers() {
    let gateway = Gateway::start().await;
    publish_h264(&gateway.hub, "porch");
    let mut socket = open(&gateway, "/api/v1/cameras/porch/ws", None)
        .await
        .unwrap();
    next(&mut socket).await;
    gateway.shutdown.cancel();
    let closed = loop {
        if let Message::Close(frame) = next(&mut socket).await {
            break frame.unwrap();
        }
    };
    assert_eq!(u16::from(closed.code), 1001);
    drop(socket);
    tokio::time::timeout(Duration::from_secs(2), gateway.served)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_page_of_another_site_gets_no_picture() {
    let gateway = Gateway::start().await;
    publish_h264(&gateway.hub, "porch");
    let refused = open(
        &gateway,
        "/api/v1/cameras/porch/ws",
        Some("https://evil.example"),
    )
    .await;
    assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 403));
    let own = format!("http://{}", gateway.address);
    assert!(
        open(&gateway, "/api/v1/cameras/porch/ws", Some(&own))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_plain_request_to_a_websocket_is_told_so() {
    let gateway = Gateway::start().await;
    let answer = gateway.get("/api/v1/cameras/porch/ws").await;
    assert!(
        status(&answer) == 426 && answer.contains("WebSocket only"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_viewer_that_talks_too_much_is_cut() {
    let gateway = Gateway::start().await;
    let mut socket = open(&gateway, "/api/v1/cameras/porch/ws", None)
        .await
        .unwrap();
    socket
        .send(Message::Binary(vec![0; 1 << 20].into()))
        .await
        .unwrap();
    let stream = gateway.hub.stream("porch").unwrap();
    tokio::time::timeout(Duration::from_secs(2), stream.unwanted(Duration::ZERO))
        .await
        .unwrap();
}

#[tokio::test]
async fn agents_come_in_over_tls_only() {
    let gateway = Gateway::start().await;
    let refused = open(&gateway, "/agent", None).await;
    assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 426));
    let plain = gateway.get("/agent").await;
    assert!(
        plain.contains("over TLS only") && plain.contains("wss://"),
        "{plain}"
    );
    let tls = gateway.connect_tls().await;
    // The name is not ours: an agent may know the gateway by any.
    let (mut socket, _) = tokio_tungstenite::client_async("wss://gateway.example/agent", tls)
        .await
        .unwrap();
    let hello = next(&mut socket).await.into_data();
    assert_eq!(hello.as_ref(), b"hello 127.0.0.1");
}

async fn open(
    gateway: &Gateway,
    path: &str,
    origin: Option<&str>,
) -> Result<Socket<tokio::net::TcpStream>, Error> {
    let mut request = format!("ws://{}{path}", gateway.address)
        .into_client_request()
        .unwrap();
    if let Some(origin) = origin {
        request
            .headers_mut()
            .insert("origin", HeaderValue::from_str(origin).unwrap());
    }
    let (socket, _) = tokio_tungstenite::client_async(request, gateway.connect().await).await?;
    Ok(socket)
}

async fn next<S>(socket: &mut Socket<S>) -> Message
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let message = tokio::time::timeout(Duration::from_secs(5), socket.next()).await;
    message
        .expect("a message comes")
        .expect("the socket is open")
        .expect("the message is good")
}
