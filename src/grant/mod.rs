//! How a credential is obtained from Equinix.

pub mod scope;
pub mod settings;
pub mod token_exchange;
