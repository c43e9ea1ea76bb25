//! The control connection: messages of one octet, and JSON with its length before it.

use crate::error::{Error, Refusal};
use crate::state::{COOKIE_LEN, Cookie, State};
use alloc::string::ToString;
use alloc::vec::Vec;
use embedded_io_async::{Read, ReadExactError, Write};
use fata::net::TcpStream;
use fata::time::{Duration, timeout};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long the other side may take for each part of what it has to say.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The control connection of one test.
pub struct Control(TcpStream);

impl Control {
    /// Over a connection whose cookie is known.
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true);
        Self(stream)
    }

    /// The connection.
    pub fn stream(&self) -> &TcpStream {
        &self.0
    }

    /// Says where it stands.
    pub async fn send_state(&mut self, state: State) -> Result<(), Error> {
        self.send(&[state.octet()]).await
    }

    /// Says that the test has failed, and why.
    pub async fn send_error(&mut self, refusal: Refusal) -> Result<(), Error> {
        let mut message = [0; 9];
        message[0] = State::ServerError.octet();
        message[1..5].copy_from_slice(&(refusal as i32).to_be_bytes());
        self.send(&message).await
    }

    /// The next message, whenever it comes. Nothing is lost when the future is dropped.
    pub async fn state(&mut self) -> Result<State, Error> {
        let mut octet = [0];
        match self.0.read(&mut octet).await? {
            0 => Err(Error::Closed),
            _ => State::from_octet(octet[0]).ok_or(Error::Unknown(octet[0].cast_signed())),
        }
    }

    /// The two numbers after [`State::ServerError`].
    pub async fn server_error(&mut self) -> Error {
        let mut numbers = [0; 8];
        if let Err(error) = read_exact(&mut self.0, &mut numbers).await {
            return error;
        }
        let number = |at: usize| i32::from_be_bytes([0, 1, 2, 3].map(|i| numbers[at + i]));
        Error::Server { code: number(0), errno: number(4) }
    }

    /// Sends a value as JSON.
    pub async fn send_json(&mut self, value: &impl Serialize) -> Result<(), Error> {
        let json = serde_json::to_vec(value).map_err(|error| Error::Json(error.to_string()))?;
        let len = u32::try_from(json.len()).map_err(|_| Error::OutOfMemory)?;
        self.send(&len.to_be_bytes()).await?;
        self.send(&json).await
    }

    /// Reads JSON of at most `max` octets.
    pub async fn json<T: DeserializeOwned>(&mut self, max: u32) -> Result<T, Error> {
        let mut len = [0; 4];
        read_exact(&mut self.0, &mut len).await?;
        let len = u32::from_be_bytes(len);
        if len > max {
            return Err(Error::TooLong { len, max });
        }
        let mut json = buffer(len as usize)?;
        read_exact(&mut self.0, &mut json).await?;
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(Error::Json("no object".into()));
        }
        serde_json::from_slice(&json).map_err(|error| Error::Json(error.to_string()))
    }

    async fn send(&mut self, octets: &[u8]) -> Result<(), Error> {
        send(&mut self.0, octets).await
    }
}

/// Sends the cookie, as each TCP connection begins.
pub async fn send_cookie(stream: &mut TcpStream, cookie: &Cookie) -> Result<(), Error> {
    send(stream, &cookie.0).await
}

/// Reads the cookie.
pub async fn read_cookie(stream: &mut TcpStream) -> Result<Cookie, Error> {
    let mut cookie = [0; COOKIE_LEN];
    read_exact(stream, &mut cookie).await?;
    Ok(Cookie(cookie))
}

/// Zeros, if there is memory for them.
pub fn buffer(len: usize) -> Result<Vec<u8>, Error> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| Error::OutOfMemory)?;
    buffer.resize(len, 0);
    Ok(buffer)
}

async fn send(stream: &mut TcpStream, octets: &[u8]) -> Result<(), Error> {
    timeout(PATIENCE, stream.write_all(octets)).await.map_err(|_| Error::Silent(PATIENCE.as_secs()))??;
    Ok(())
}

async fn read_exact(stream: &mut TcpStream, octets: &mut [u8]) -> Result<(), Error> {
    match timeout(PATIENCE, stream.read_exact(octets)).await {
        Err(_) => Err(Error::Silent(PATIENCE.as_secs())),
        Ok(Ok(())) => Ok(()),
        Ok(Err(ReadExactError::UnexpectedEof)) => Err(Error::Closed),
        Ok(Err(ReadExactError::Other(error))) => Err(error.into()),
    }
}
