//! Owns the client half: tokens that are got, kept and renewed, and attached to the calls of one service.

mod channel;
mod credential;
mod retry;
mod source;
mod state;

pub use channel::{AuthorizedChannel, ChannelTarget};
pub use credential::ClientCredential;
pub use source::{AccessToken, StoreRefreshToken, TokenSource, TokenSourceBuilder};

#[cfg(test)]
pub(crate) use channel::may_attach;
#[cfg(test)]
pub(crate) use retry::{FailedCall, is_worth_another};
#[cfg(test)]
pub(crate) use state::renewal;
