//! Handing a token over: formats (pure functions to bytes), sinks (opening, checking and writing) and what the calling
//! program asked for.

pub mod format;
#[cfg(test)]
mod readers_tests;
pub mod request;
pub mod sink;
