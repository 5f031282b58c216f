//! A byte stream over messages, without a WebSocket beneath.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use link::{BinaryMessage, MAX_WEBSOCKET_MESSAGE, Payload, WebSocketBytes};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

#[derive(Clone, Debug)]
enum Message {
    Binary(Bytes),
    Text,
    Ping,
    Close,
}

impl BinaryMessage for Message {
    fn binary(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }

    fn payload(self) -> Payload {
        match self {
            Self::Binary(bytes) => Payload::Bytes(bytes),
            Self::Text => Payload::Foreign,
            Self::Ping => Payload::Ignored,
            Self::Close => Payload::Close,
        }
    }
}

struct Socket {
    incoming: mpsc::UnboundedReceiver<Message>,
    outgoing: mpsc::UnboundedSender<Message>,
}

impl Stream for Socket {
    type Item = Result<Message, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming.poll_recv(cx).map(|message| message.map(Ok))
    }
}

impl Sink<Message> for Socket {
    type Error = std::io::Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        self.outgoing.send(message).map_err(std::io::Error::other)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let _ = self.outgoing.send(Message::Close);
        Poll::Ready(Ok(()))
    }
}

/// A byte stream that hears `messages`, and what it says.
fn socket(messages: Vec<Message>) -> (WebSocketBytes<Socket>, mpsc::UnboundedReceiver<Message>) {
    let (feed, incoming) = mpsc::unbounded_channel();
    let (outgoing, said) = mpsc::unbounded_channel();
    for message in messages {
        feed.send(message).unwrap();
    }
    (WebSocketBytes::new(Socket { incoming, outgoing }), said)
}

fn on_tokio<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work)
}

proptest! {
    #[test]
    fn bytes_arrive_whatever_the_messages_and_pings_between_them(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
    ) {
        let mut messages: Vec<_> =
            pieces.iter().flat_map(|piece| [Message::Ping, Message::Binary(piece.clone().into())]).collect();
        messages.push(Message::Close);
        let (mut stream, _said) = socket(messages);
        let mut heard = Vec::new();
        on_tokio(stream.read_to_end(&mut heard)).unwrap();
        prop_assert_eq!(heard, pieces.concat());
    }

    #[test]
    fn writes_of_any_size_leave_in_messages_within_the_limit(
        sizes in prop::collection::vec(0usize..100_000, 1..6), flush: bool,
    ) {
        let (mut stream, mut said) = socket(vec![]);
        let data: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, &len)| vec![u8::try_from(n).unwrap(); len]).collect();
        on_tokio(async {
            for piece in &data {
                stream.write_all(piece).await.unwrap();
                if flush {
                    stream.flush().await.unwrap();
                }
            }
            stream.shutdown().await.unwrap();
        });
        drop(stream);
        let mut sent = Vec::new();
        while let Ok(message) = said.try_recv() {
            match message {
                Message::Binary(bytes) => {
                    prop_assert!(!bytes.is_empty() && bytes.len() <= MAX_WEBSOCKET_MESSAGE);
                    sent.extend_from_slice(&bytes);
                }
                other => prop_assert!(matches!(other, Message::Close)),
            }
        }
        prop_assert!(sent == data.concat());
    }
}

#[test]
fn text_and_oversized_messages_are_refused() {
    for message in [
        Message::Text,
        Message::Binary(vec![0; MAX_WEBSOCKET_MESSAGE + 1].into()),
    ] {
        let (mut stream, _said) = socket(vec![message]);
        let error = on_tokio(stream.read_u8()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    }
}
