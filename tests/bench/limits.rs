//! Numbers on the command line and what they may be.

use std::fmt::Display;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The number in `text`.
///
/// # Errors
/// It is none, or less than `least` or more than `most`.
pub(crate) fn within<N: FromStr + PartialOrd + Display>(text: &str, least: N, most: N) -> Result<N> {
    match text.parse() {
        Ok(number) if (&least..=&most).contains(&&number) => Ok(number),
        _ => Err(lexopt::Error::from(format!("{text:?} is not a number from {least} to {most}")).into()),
    }
}

impl From<&str> for Error {
    fn from(text: &str) -> Error {
        Error::Usage(text.into())
    }
}
