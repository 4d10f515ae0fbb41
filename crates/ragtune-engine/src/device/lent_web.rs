//! A tab neither borrows nor lends devices.

use super::ChosenDevice;
use super::lender::Lender;
use crate::{EngineError, Result};

/// Refused.
pub(super) fn borrow(_: &Lender) -> Result<ChosenDevice> {
    Err(EngineError::input("a browser's tab computes by itself: leave other machines out"))
}
