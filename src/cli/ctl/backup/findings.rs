//! What is wrong with an archive.

use std::fmt;

use ferrymq_archive::{ArchiveError, ObjectError, Problem, Trouble};

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is not what was written.
    Damaged,
    /// It is not there.
    Missing,
    /// It is of another program.
    Foreign,
    /// It is of a later version.
    Newer,
    /// It is encrypted, with another key or where none was given.
    OtherKey,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Foreign => "foreign",
            Self::Newer => "newer",
            Self::OtherKey => "other key",
        })
    }
}

/// An object that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    pub(super) object: String,
    pub(super) why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {}: {}", self.object, self.why)
    }
}

impl Finding {
    /// An object that could not be read, by an error that says so of it.
    ///
    /// # Errors
    ///
    /// The error itself, where it says nothing of the object: the archive cannot be reached, or does not let anybody in.
    pub(super) fn of(object: &str, error: ArchiveError) -> Result<Self, ArchiveError> {
        match error {
            ArchiveError::Object(ObjectError { name, problem }) => match kind_of(&problem) {
                Some(kind) => Ok(Self { kind, object: name, why: problem.to_string() }),
                None => Err(ObjectError { name, problem }.into()),
            },
            ArchiveError::Destination(error) => match error.trouble {
                Trouble::NotFound => Ok(Self::missing(object, "there is no such object".to_owned())),
                Trouble::TooLarge => Ok(Self {
                    kind: Kind::Damaged,
                    object: object.to_owned(),
                    why: "it is too large to be one".to_owned(),
                }),
                _ => Err(error.into()),
            },
        }
    }

    pub(super) fn missing(object: &str, why: String) -> Self {
        Self { kind: Kind::Missing, object: object.to_owned(), why }
    }
}

fn kind_of(problem: &Problem) -> Option<Kind> {
    match problem {
        Problem::Foreign => Some(Kind::Foreign),
        Problem::Newer { .. } => Some(Kind::Newer),
        Problem::NoKey | Problem::OtherKey => Some(Kind::OtherKey),
        Problem::Failed(_) => None,
        Problem::Damaged
        | Problem::TooLarge { .. }
        | Problem::Malformed(_)
        | Problem::Incomprehensible(_)
        | Problem::Misplaced(_) => Some(Kind::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_object_is_told_apart() {
        for (problem, kind) in [
            (Problem::Damaged, Kind::Damaged),
            (Problem::Foreign, Kind::Foreign),
            (Problem::Newer { found: 2 }, Kind::Newer),
            (Problem::NoKey, Kind::OtherKey),
            (Problem::OtherKey, Kind::OtherKey),
        ] {
            let error = ObjectError { name: "a".to_owned(), problem };
            let finding = Finding::of("b", error.into()).unwrap();
            assert_eq!((finding.kind, &*finding.object), (kind, "a"), "the error knows the object best");
        }
        let failed = ObjectError { name: "a".to_owned(), problem: Problem::Failed("compression") };
        assert!(Finding::of("a", failed.into()).is_err(), "it says nothing of the object");
    }
}
