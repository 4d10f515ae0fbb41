//! A device of another machine: burn sends its operations over a WebSocket, and only what is read comes back.

use std::net::{IpAddr, TcpListener, UdpSocket};

use burn::remote::RemoteHost;
use burn::server::{RemoteServer, TokenAuthorizer, WebSocketTransport};
use burn::tensor::Device;
use tokio::runtime::Builder;

use super::lender::Lender;
use super::{ChosenDevice, self_test, tested};
use crate::{EngineError, Result};

/// Bytes of a token that is made up.
const TOKEN: usize = 8;

/// Takes up a device that is lent, after a known-answer test.
pub(super) fn borrow(lender: &Lender) -> Result<ChosenDevice> {
    let address = &lender.address;
    let host = RemoteHost::websocket(&format!("ws://{address}")).with_credential(lender.token.as_str());
    let device = Device::remote_options(&host).init().map_err(|error| {
        EngineError::input(format!(
            "{address} lends no device: {error}. Start `ragtune lend` there, and name it here as it says"
        ))
    })?;
    let name = format!("the device lent by {address}");
    // The lender has asked it everything before it lent it.
    // A session that ended does not begin anew under its token.
    tested(&device, &name, self_test::short).map_err(|reason| {
        EngineError::Failed(format!("{reason}. If `ragtune lend` was started again there, let it have a fresh token"))
    })?;
    Ok(ChosenDevice { device, name, note: None })
}

/// A place where a device is about to be lent.
pub(crate) struct Counter {
    listener: TcpListener,
    /// How others name it.
    pub(crate) lender: Lender,
}

impl Counter {
    /// Listens at `HOST:PORT`; who comes must know the token, made up where none is given.
    pub(crate) fn open(listen: &str, token: Option<String>) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| {
            EngineError::input(format!(
                "{listen}: nothing can listen there ({error}); choose another --listen HOST:PORT"
            ))
        };
        let token = match token {
            Some(token) => token,
            None => fresh_token().map_err(|error| wrong(&error))?,
        };
        let listener = TcpListener::bind(listen).map_err(|error| wrong(&error))?;
        let bound = listener.local_addr().map_err(|error| wrong(&error))?;
        let host = if bound.ip().is_unspecified() { own_address() } else { bound.ip() };
        let address = std::net::SocketAddr::new(host, bound.port()).to_string();
        match format!("{token}@{address}").parse() {
            Ok(lender) => Ok(Self { listener, lender }),
            Err(()) => Err(EngineError::input(format!("{token:?} is no token: letters and digits will do"))),
        }
    }

    /// Lends a device until `go_on` says no, asked many times a second.
    pub(crate) fn lend(self, device: Device, mut go_on: impl FnMut() -> bool) -> Result<()> {
        let failed = |error: &dyn std::fmt::Display| EngineError::Failed(format!("lending ended: {error}"));
        let authorizer = TokenAuthorizer::new(self.lender.token.as_str()).map_err(|error| failed(&error))?;
        let runtime = Builder::new_multi_thread().enable_all().build().map_err(|error| failed(&error))?;
        let server = RemoteServer::new([device]).with_authorizer(authorizer);
        let serving = runtime.spawn(server.serve_async(WebSocketTransport::from_listener(self.listener)));
        while !serving.is_finished() && go_on() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let ended = serving.is_finished().then(|| runtime.block_on(serving));
        runtime.shutdown_background();
        match ended {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(failed(&error)),
            Some(Err(error)) => Err(failed(&error)),
        }
    }
}

fn fresh_token() -> std::io::Result<String> {
    let mut bytes = [0; TOKEN];
    getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The address by which the machine goes out; nothing is sent to find it.
fn own_address() -> IpAddr {
    let found = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        // A network for documents: a route is looked up, no packet leaves.
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    found.map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip())
}
