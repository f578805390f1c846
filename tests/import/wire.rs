//! The wire between an import and RabbitMQ, which can be cut.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// Passes on what comes at a port of its own. Its threads end with the tests.
pub(crate) struct Wire {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    /// To the host and port of this address.
    pub(crate) fn to(uri: &str) -> Self {
        let target = host(uri).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Self { port: listener.local_addr().unwrap().port(), open: Arc::default() };
        let open = wire.open.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = TcpStream::connect(&target).unwrap();
                pass(&near, &far);
                pass(&far, &near);
                open.lock().unwrap().extend([near, far]);
            }
        });
        wire
    }

    /// The same address, by this wire.
    pub(crate) fn uri(&self, uri: &str) -> String {
        uri.replace(host(uri), &format!("127.0.0.1:{}", self.port))
    }

    /// Cuts all connections that are open.
    pub(crate) fn cut(&self) {
        let cut: Vec<_> = self.open.lock().unwrap().drain(..).collect();
        assert!(!cut.is_empty(), "nobody is connected");
        for end in cut {
            // It may have closed by itself.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn host(uri: &str) -> &str {
    let (_, after) = uri.split_once('@').unwrap();
    after.split('/').next().unwrap()
}

/// Passes on what comes from one end to the other, until either closes.
fn pass(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}
