//! How a device is named that another machine lends.

use std::fmt;
use std::str::FromStr;

/// Where a device is lent: `TOKEN@HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lender {
    /// What the lender asks for.
    pub token: String,
    /// `HOST:PORT`.
    pub address: String,
}

impl fmt::Display for Lender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.token, self.address)
    }
}

impl FromStr for Lender {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (token, address) = text.split_once('@').ok_or(())?;
        let (host, port) = address.rsplit_once(':').ok_or(())?;
        let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || "/@?#".contains(c));
        if !plain(token) || !plain(host) || port.parse::<u16>().is_err() {
            return Err(());
        }
        Ok(Self { token: token.to_owned(), address: address.to_owned() })
    }
}
