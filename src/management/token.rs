//! The secret that calls must show.

use std::{fmt, sync::Arc};

use subtle::ConstantTimeEq;

/// The secret that calls must show, without the white space around it. Cheap to clone.
#[derive(Clone)]
pub struct Token(Arc<[u8]>);

/// A token of nothing would let everybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is empty; write at least one visible character into the token file")]
pub struct EmptyToken;

impl Token {
    /// Takes a text as the secret.
    ///
    /// # Errors
    ///
    /// [`EmptyToken`] where there is nothing but white space.
    pub fn new(text: &str) -> Result<Self, EmptyToken> {
        match text.trim() {
            "" => Err(EmptyToken),
            text => Ok(Self(text.as_bytes().into())),
        }
    }

    /// Whether the value of an `Authorization` header shows this secret. How long it takes does not tell how much of it
    /// was right.
    pub(crate) fn is_shown_by(&self, authorization: &[u8]) -> bool {
        let Some((scheme, shown)) = authorization.split_at_checked("Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && shown.trim_ascii().ct_eq(&self.0).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_white_space_is_none() {
        assert_eq!(Token::new(" \n").unwrap_err(), EmptyToken);
    }

    #[test]
    fn white_space_around_a_token_does_not_count() {
        assert!(Token::new("secret\n").unwrap().is_shown_by(b"Bearer secret"));
    }

    #[test]
    fn the_scheme_may_be_written_in_any_case() {
        assert!(Token::new("secret").unwrap().is_shown_by(b"bearer secret"));
    }

    #[test]
    fn nothing_but_the_whole_secret_is_the_secret() {
        let token = Token::new("secret").unwrap();
        for shown in
            ["", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Bearer Secret", "Basic secret", "secret"]
        {
            assert!(!token.is_shown_by(shown.as_bytes()), "{shown:?} was taken");
        }
    }
}
