//! Bodies in and out. Taken as JSON whatever their content type says: the admin API speaks nothing else.

use axum::{
    body::{Bytes, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use ferrymq_admin_api::Reason;
use serde::{Serialize, de::DeserializeOwned};

use crate::refused::Refused;

/// The most bytes that the body of a request may have.
pub const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// A body that is JSON.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        // Announced as too large: nothing of it needs to come.
        if request.body().size_hint().lower() > BODY_LIMIT as u64 {
            return Err(too_large());
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejected| match rejected.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => Refused::new(Reason::Invalid, format!("the body could not be read: {rejected}")),
        })?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Refused::new(Reason::Invalid, format!("the body is not what this call takes: {error}")))
    }
}

fn too_large() -> Refused {
    Refused::new(Reason::Invalid, format!("the body is too large; at most {BODY_LIMIT} bytes are taken"))
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer could not be written as JSON");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
