//! The ID token: reading it, checking its claims, verifying its signature.

pub mod claims;
pub mod crypto;
pub mod expect;
pub mod jwt;
pub mod near_miss;
pub mod signature;
pub mod subject;
