//! Runs that outlive their token: a source that renews it, and a listener on loopback that hands it out.
//!
//! [`cache`] decides and knows no time of its own, [`source`] waits, [`local_sts`] answers, [`ledger`] keeps account, and [`budget`] limits what
//! that may cost.

pub mod budget;
pub mod cache;
pub mod ledger;
pub mod local_sts;
pub mod source;
