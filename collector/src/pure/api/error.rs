//! The errors of the interface and their form.

use super::json::push_text;

/// The kinds of error that clients tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// A parameter is missing or wrong.
    BadData,
    /// The query is understood and cannot be answered.
    Execution,
    /// The query took too long.
    Timeout,
    /// No place is free, or the store is not ready.
    Unavailable,
    /// No such path.
    NotFound,
    /// The path exists for other methods.
    Method,
    /// A fault of ours.
    Internal,
}

impl ErrorKind {
    /// The word under `errorType`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            ErrorKind::BadData | ErrorKind::Method => "bad_data",
            ErrorKind::Execution => "execution",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Internal => "internal",
        }
    }

    /// The status of the HTTP answer.
    pub(crate) fn status(self) -> u16 {
        match self {
            ErrorKind::BadData => 400,
            ErrorKind::NotFound => 404,
            ErrorKind::Method => 405,
            ErrorKind::Execution => 422,
            ErrorKind::Internal => 500,
            ErrorKind::Timeout | ErrorKind::Unavailable => 503,
        }
    }
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> ApiError {
        ApiError { kind, message: message.into() }
    }

    /// A parameter that is wrong for a reason.
    pub(crate) fn parameter(name: &str, reason: impl std::fmt::Display) -> ApiError {
        ApiError::new(ErrorKind::BadData, format!("invalid parameter {name:?}: {reason}"))
    }

    /// The body of the answer.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut out = br#"{"status":"error","errorType":""#.to_vec();
        out.extend_from_slice(self.kind.word().as_bytes());
        out.extend_from_slice(br#"","error":"#);
        push_text(&mut out, &self.message);
        out.push(b'}');
        out
    }
}
