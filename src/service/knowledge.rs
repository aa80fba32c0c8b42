//! The knowledge of the error codes.

use serde_json::{Value, json};

use crate::error::{Code, Error};

/// Tells what `explain` tells of a code.
pub fn explain(name: &str) -> Result<Value, Error> {
    let code = crate::command::explain::find(name)?;
    Ok(json!({
        "code": code.name(),
        "exit": code.exit().status(),
        "cause": code.cause(),
        "cure": code.cure(),
        "retry": code.exit().again(),
    }))
}

/// Returns the names of all codes.
pub fn codes() -> impl Iterator<Item = &'static str> {
    Code::ALL.iter().map(|code| code.name())
}
