use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{CONNECT_TIMEOUT, Dialer, Target};

/// A door on loopback for a library that insists on opening its own TCP connection.
///
/// It connects through the dialer first, then admits exactly one connection and closes its
/// listener. Dropping it cuts both sides.
#[derive(Debug)]
pub struct Bridge {
    address: SocketAddr,
    pump: JoinHandle<()>,
}

impl Bridge {
    /// Reaches `target` through `dialer` and offers that connection on a loopback port.
    ///
    /// # Errors
    /// The dialer's, when the camera cannot be reached, so that the caller sees the true reason.
    pub async fn open(dialer: &dyn Dialer, target: &Target) -> io::Result<Self> {
        let mut far = dialer.connect(target).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let pump = tokio::spawn(async move {
            let Ok(Ok((mut near, _))) =
                tokio::time::timeout(CONNECT_TIMEOUT, listener.accept()).await
            else {
                return;
            };
            drop(listener);
            let _ = near.set_nodelay(true);
            // The end of either side is told by its closing; which error ended it, the user of
            // the near side learns from its own reads.
            let _ =
                tokio::io::copy_bidirectional_with_sizes(&mut near, &mut far, 64 << 10, 64 << 10)
                    .await;
            let _ = near.shutdown().await;
        });
        Ok(Self { address, pump })
    }

    /// The loopback address to connect to, once.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::Direct;

    #[tokio::test]
    async fn one_connection_passes_and_a_second_finds_the_door_closed() {
        let camera = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::new("127.0.0.1", camera.local_addr().unwrap().port());
        let bridge = Bridge::open(&Direct, &target).await.unwrap();
        let mut near = TcpStream::connect(bridge.address()).await.unwrap();
        let (mut far, _) = camera.accept().await.unwrap();
        near.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        assert!(TcpStream::connect(bridge.address()).await.is_err());
    }
}
