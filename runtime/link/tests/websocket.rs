//! Our WebSocket against another one, both ways.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use link::{MAX_WEBSOCKET_MESSAGE, ReadAhead, WebSocketBytes, WebSocketEnd, upgrade};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Ours at `end` and theirs at the other, over a connection that takes `room` bytes at once.
async fn pair(
    end: WebSocketEnd,
    room: usize,
) -> (
    WebSocketBytes<ReadAhead<DuplexStream>>,
    WebSocketStream<DuplexStream>,
) {
    let (ours, theirs) = duplex(room);
    let role = match end {
        WebSocketEnd::Client => Role::Server,
        WebSocketEnd::Server => Role::Client,
    };
    let ours = WebSocketBytes::new(ReadAhead::new(ours), end, Bytes::new());
    (
        ours,
        WebSocketStream::from_raw_socket(theirs, role, None).await,
    )
}

fn on_tokio<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn ends() -> impl Strategy<Value = WebSocketEnd> {
    prop_oneof![Just(WebSocketEnd::Client), Just(WebSocketEnd::Server)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bytes_arrive_whatever_the_messages_and_pings_between_them(
        end in ends(), room in 1usize..300,
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
    ) {
        let heard = on_tokio(async {
            let (mut ours, mut theirs) = pair(end, room).await;
            let said = pieces.clone();
            let speaking = tokio::spawn(async move {
                for piece in said {
                    theirs.send(Message::Ping(vec![1, 2, 3].into())).await.unwrap();
                    theirs.send(Message::Binary(piece.into())).await.unwrap();
                }
                theirs.close(None).await.unwrap();
                // Pongs.
                while let Some(Ok(message)) = theirs.next().await {
                    assert!(matches!(message, Message::Pong(_) | Message::Close(_)), "{message:?}");
                }
            });
            let mut heard = Vec::new();
            ours.read_to_end(&mut heard).await.unwrap();
            drop(ours);
            speaking.await.unwrap();
            heard
        });
        prop_assert_eq!(heard, pieces.concat());
    }

    #[test]
    fn writes_of_any_size_leave_in_messages_within_the_limit(
        end in ends(), room in 1usize..70_000,
        sizes in prop::collection::vec(0usize..200_000, 1..5),
    ) {
        let data: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, &len)| vec![u8::try_from(n).unwrap(); len]).collect();
        let heard = on_tokio(async {
            let (mut ours, mut theirs) = pair(end, room).await;
            let said = data.clone();
            let speaking = tokio::spawn(async move {
                for piece in said {
                    ours.write_all(&piece).await.unwrap();
                    ours.flush().await.unwrap();
                }
                ours.shutdown().await.unwrap();
            });
            let mut heard = Vec::new();
            while let Some(message) = theirs.next().await {
                match message.unwrap() {
                    Message::Binary(bytes) => {
                        assert!(!bytes.is_empty() && bytes.len() <= MAX_WEBSOCKET_MESSAGE);
                        heard.extend_from_slice(&bytes);
                    }
                    other => {
                        assert!(matches!(other, Message::Close(_)), "{other:?}");
                        break;
                    }
                }
            }
            speaking.await.unwrap();
            heard
        });
        prop_assert!(heard == data.concat());
    }
}

#[test]
fn a_pong_follows_a_ping() {
    on_tokio(async {
        let (mut ours, mut theirs) = pair(WebSocketEnd::Server, 4096).await;
        theirs
            .send(Message::Ping(vec![7; 125].into()))
            .await
            .unwrap();
        theirs.send(Message::Binary(vec![1].into())).await.unwrap();
        assert_eq!(ours.read_u8().await.unwrap(), 1);
        let pong = theirs.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong(vec![7; 125].into()));
    });
}

#[test]
fn text_and_oversized_messages_are_refused() {
    for message in [
        Message::text("hello"),
        Message::Binary(vec![0; MAX_WEBSOCKET_MESSAGE + 1].into()),
    ] {
        on_tokio(async {
            let (mut ours, mut theirs) = pair(WebSocketEnd::Server, 1 << 20).await;
            theirs.send(message).await.unwrap();
            let error = ours.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        });
    }
}

#[test]
fn frames_against_the_rules_are_refused() {
    let cases: [(&str, &[u8]); 5] = [
        ("unmasked from a client", &[0x82, 1, 0]),
        ("reserved bits", &[0xC2, 0x80, 0, 0, 0, 0]),
        ("an unknown kind", &[0x83, 0x80, 0, 0, 0, 0]),
        ("a long ping", &[0x89, 0xFE, 0, 126, 0, 0, 0, 0]),
        (
            "an endless message",
            &[
                0x82, 0xFF, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0,
            ],
        ),
    ];
    for (what, bytes) in cases {
        on_tokio(async {
            let (near, mut far) = duplex(64);
            let mut ours = WebSocketBytes::new(near, WebSocketEnd::Server, Bytes::new());
            far.write_all(bytes).await.unwrap();
            let error = ours.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{what}");
        });
    }
}

#[test]
fn what_came_with_the_upgrade_is_read_first() {
    on_tokio(async {
        let (near, mut far) = duplex(64);
        let early = Bytes::from_static(&[0x82, 0x83, 0, 0, 0, 0, 1]);
        let mut ours = WebSocketBytes::new(near, WebSocketEnd::Server, early);
        far.write_all(&[2, 3]).await.unwrap();
        let mut heard = [0; 3];
        ours.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [1, 2, 3]);
    });
}

#[test]
fn an_upgrade_is_granted_by_another_server_and_a_refusal_is_told() {
    on_tokio(async {
        let (near, far) = duplex(4096);
        let server = tokio::spawn(tokio_tungstenite::accept_async(far));
        let mut ours = upgrade(near, "gateway.example", "/agent", [9; 16])
            .await
            .unwrap();
        let mut theirs = server.await.unwrap().unwrap();
        ours.write_all(b"hello").await.unwrap();
        let heard = theirs.next().await.unwrap().unwrap();
        assert_eq!(heard, Message::Binary(b"hello".to_vec().into()));

        let (near, mut far) = duplex(4096);
        far.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
            .await
            .unwrap();
        let error = upgrade(near, "gateway.example", "/agent", [9; 16])
            .await
            .unwrap_err();
        assert!(error.to_string().contains("503 Service"), "{error}");
    });
}
