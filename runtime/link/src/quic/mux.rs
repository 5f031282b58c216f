use std::fmt;
use std::sync::Arc;

use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::QuicConnection;
use super::listener::DONE;
use super::pulse::Pulse;
use super::settings;
use super::stream::{Counted, QuicStream};
use crate::{Error, Flow};

/// Many streams of one QUIC connection. It ends with the connection, by [`QuicMux::close`], or when dropped.
pub(crate) struct QuicMux {
    pulse: Arc<Pulse>,
    open_slots: Arc<Semaphore>,
    accept_slots: Arc<Semaphore>,
    max_streams: usize,
    flow: Arc<Flow>,
    watch: JoinHandle<()>,
}

impl fmt::Debug for QuicMux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicMux")
            .field("peer", &self.connection().remote_address())
            .field("flow", &self.flow)
            .finish_non_exhaustive()
    }
}

impl QuicMux {
    pub(crate) fn start(quic: QuicConnection, max_streams: usize) -> Self {
        let QuicConnection {
            connection,
            caller,
            resume,
        } = quic;
        if caller.is_none() {
            // A gateway's: the agent has shown its token.
            connection.set_receive_window(settings::known_window());
        }
        let pulse = Pulse::new(connection, caller, resume);
        let beating = Arc::clone(&pulse);
        Self {
            pulse,
            open_slots: Arc::new(Semaphore::new(max_streams)),
            accept_slots: Arc::new(Semaphore::new(max_streams)),
            max_streams,
            flow: Arc::new(Flow::default()),
            watch: tokio::spawn(async move { beating.run().await }),
        }
    }

    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    pub(crate) fn peer(&self) -> std::net::SocketAddr {
        self.connection().remote_address()
    }

    fn connection(&self) -> &Connection {
        &self.pulse.connection
    }

    pub(crate) async fn open(&self) -> Result<QuicStream, Error> {
        let permit = Arc::clone(&self.open_slots)
            .try_acquire_owned()
            .map_err(|_| Error::TooManyStreams(self.max_streams))?;
        let opened = self.connection().open_bi().await;
        let (send, recv) = opened.map_err(|error| self.end(&error))?;
        Ok(self.stream(send, recv, permit))
    }

    /// Cancel-safe. Streams beyond the cap are reset.
    pub(crate) async fn accept(&self) -> Result<QuicStream, Error> {
        loop {
            let accepted = self.connection().accept_bi().await;
            let (send, recv) = accepted.map_err(|error| self.end(&error))?;
            match Arc::clone(&self.accept_slots).try_acquire_owned() {
                Ok(permit) => return Ok(self.stream(send, recv, permit)),
                Err(_) => drop(QuicStream::new(send, recv, None)),
            }
        }
    }

    fn stream(
        &self,
        send: SendStream,
        recv: RecvStream,
        permit: OwnedSemaphorePermit,
    ) -> QuicStream {
        let counted = Counted {
            flow: Arc::clone(&self.flow),
            _permit: permit,
        };
        QuicStream::new(send, recv, Some(counted))
    }

    pub(crate) fn flow(&self) -> &Arc<Flow> {
        &self.flow
    }

    pub(crate) fn open_streams(&self) -> usize {
        self.max_streams
            .saturating_sub(self.open_slots.available_permits())
    }

    pub(crate) async fn closed(&self) -> Result<(), Error> {
        let error = self.connection().closed().await;
        match self.end(&error) {
            Error::Closed => Ok(()),
            error => Err(error),
        }
    }

    pub(crate) async fn close(&self) {
        self.pulse.close().await;
    }

    fn end(&self, error: &ConnectionError) -> Error {
        match (self.pulse.failure(), error) {
            (Some(failure), _) => Error::Mux(failure),
            (None, ConnectionError::LocallyClosed) => Error::Closed,
            (None, ConnectionError::ApplicationClosed(close)) if close.error_code == DONE => {
                Error::Closed
            }
            (None, error) => Error::Mux(error.to_string()),
        }
    }
}

impl Drop for QuicMux {
    fn drop(&mut self) {
        self.watch.abort();
        self.connection().close(DONE, b"");
    }
}
