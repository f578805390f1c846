//! What goes wrong, in the protocol's words: section 1.2 of the definition, and how a connection ends.

use std::io;

use crate::codec::{DecodeError, FrameError};

/// A reply code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    NoRoute = 312,
    ConnectionForced = 320,
    AccessRefused = 403,
    NotFound = 404,
    ResourceLocked = 405,
    PreconditionFailed = 406,
    FrameError = 501,
    SyntaxError = 502,
    CommandInvalid = 503,
    ChannelError = 504,
    UnexpectedFrame = 505,
    ResourceError = 506,
    NotAllowed = 530,
    NotImplemented = 540,
}

impl Code {
    pub(crate) fn number(self) -> u16 {
        self as u16
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoRoute => "NO_ROUTE",
            Self::ConnectionForced => "CONNECTION_FORCED",
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::FrameError => "FRAME_ERROR",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::CommandInvalid => "COMMAND_INVALID",
            Self::ChannelError => "CHANNEL_ERROR",
            Self::UnexpectedFrame => "UNEXPECTED_FRAME",
            Self::ResourceError => "RESOURCE_ERROR",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
        }
    }

    /// Whether it ends the channel alone. The definition has a resource error end the connection; here it says that one
    /// queue cannot be served just now, with which the other channels have nothing to do.
    fn ends_channel_only(self) -> bool {
        matches!(
            self,
            Self::NoRoute
                | Self::AccessRefused
                | Self::NotFound
                | Self::ResourceLocked
                | Self::PreconditionFailed
                | Self::ResourceError
        )
    }
}

/// A client is told what it did wrong, and its channel or its connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) code: Code,
    pub(crate) sentence: String,
    /// Class and number of the method at fault; zeros where it is none.
    pub(crate) method: (u16, u16),
}

impl Exception {
    pub(crate) fn new(code: Code, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into(), method: (0, 0) }
    }

    pub(crate) fn not_implemented(sentence: impl Into<String>) -> Self {
        Self::new(Code::NotImplemented, sentence)
    }

    /// The broker ends the connection by itself.
    pub(crate) fn forced(reason: &str) -> Self {
        Self::new(Code::ConnectionForced, format!("broker forced connection closure with reason '{reason}'"))
    }

    /// Says which method it was, where that is not said yet.
    pub(crate) fn at(mut self, method: (u16, u16)) -> Self {
        if self.method == (0, 0) {
            self.method = method;
        }
        self
    }

    pub(crate) fn ends_channel_only(&self) -> bool {
        self.code.ends_channel_only()
    }

    /// What the client reads; cut to the 255 bytes of a short string where it is written.
    pub(crate) fn text(&self) -> String {
        format!("{} - {}", self.code.name(), self.sentence)
    }
}

impl From<DecodeError> for Exception {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::UnknownMethod { .. } => Self::not_implemented(error.to_string()),
            _ => Self::new(Code::SyntaxError, error.to_string()),
        }
    }
}

impl From<FrameError> for Exception {
    fn from(error: FrameError) -> Self {
        Self::new(Code::FrameError, error.to_string())
    }
}

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client did wrong; it is told so. Where only a channel is to end, the connection goes on.
    Exception(Exception),
    /// The client closed it, and waits for the answer.
    ClosedByClient,
    /// The client let go of the socket.
    Gone,
    /// The client sent another hello, or refused logins are not to be told about.
    Unwelcome,
    /// Nothing was heard from the client for too long.
    Silent,
    /// The socket failed.
    Socket(io::Error),
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Self::Exception(error.into())
    }
}

impl From<FrameError> for Stop {
    fn from(error: FrameError) -> Self {
        Self::Exception(error.into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // A TLS connection that was cut without being ended first.
            io::ErrorKind::UnexpectedEof => Self::Gone,
            _ => Self::Socket(error),
        }
    }
}
