//! Devices that compute a share of each training step, of this machine or lent by another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ChosenDevice, DeviceChoice, choose, lent};
use crate::Result;

/// A device that helps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Helper {
    /// One of this machine.
    Here(DeviceChoice),
    /// One that `ragtune lend` lends.
    Lent(Lender),
}

/// Where a device is lent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lender {
    /// What the lender asks for.
    pub token: String,
    /// `HOST:PORT`.
    pub address: String,
}

impl Helper {
    /// Starts it, after a known-answer test.
    pub(crate) fn open(&self) -> Result<ChosenDevice> {
        match self {
            Self::Here(choice) => choose(*choice),
            Self::Lent(lender) => lent::borrow(lender),
        }
    }
}

impl fmt::Display for Lender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.token, self.address)
    }
}

impl FromStr for Helper {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong =
            || format!("{text:?} is no helper: write cpu, gpu:N, or TOKEN@HOST:PORT as `ragtune lend` prints it");
        let Some((token, address)) = text.split_once('@') else {
            return text.parse().map(Self::Here).map_err(|_| wrong());
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || "/@?#".contains(c));
        if !plain(token) || !plain(host) || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self::Lent(Lender { token: token.to_owned(), address: address.to_owned() }))
    }
}

impl TryFrom<String> for Helper {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Helper> for String {
    fn from(helper: Helper) -> Self {
        match helper {
            Helper::Here(choice) => choice.into(),
            Helper::Lent(lender) => lender.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_written_as_they_are_read() {
        for text in ["cpu", "gpu:1", "3f9c@10.0.0.7:7770", "t@[::1]:80", "a-b@box.local:65535"] {
            assert_eq!(String::from(text.parse::<Helper>().unwrap()), text);
        }
        for wrong in ["", "cuda", "@host:1", "t@host", "t@host:", "t@host:99999", "t@:1", "t@ho st:1", "t@u@host:1"] {
            let error = wrong.parse::<Helper>().unwrap_err();
            assert!(error.contains("ragtune lend"), "{wrong}: {error}");
        }
    }
}
