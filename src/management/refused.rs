//! An [`AdminError`] as an HTTP answer.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use ferrymq_admin_api::{AdminError, Reason};

use crate::json::Json;

/// What a handler gives: an answer, or why there is none.
pub(crate) type Answer<T> = Result<T, Refused>;

/// An [`AdminError`] on its way to a client.
#[derive(Debug)]
pub(crate) struct Refused(AdminError);

impl Refused {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(AdminError::new(reason, message))
    }
}

impl From<AdminError> for Refused {
    fn from(error: AdminError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.reason.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}
