//! The description of the REST adapter (OpenAPI 3.1): the one that is served is the one that tests use.

use serde_json::{Value, json};

/// Returns the document for a back end.
pub fn document(federated: bool) -> Value {
    let mut document: Value = serde_json::from_str(include_str!("openapi.json")).unwrap_or_default();
    if federated
        && let Some(grant) = document.pointer_mut("/components/schemas/TokenRequest/properties/grant_type")
    {
        grant["enum"] = json!(["client_credentials", null]);
    }
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        if federated {
            for path in ["/oauth2/v1/token", "/oauth2/v1/refreshaccesstoken"] {
                // The bearer may stand in the body as well.
                if let Some(operation) = paths.get_mut(path).and_then(|item| item.get_mut("post")) {
                    operation["security"] = json!([{"bearer": []}, {}]);
                }
            }
        } else {
            paths.remove("/use/token");
            paths.remove("/v1/token");
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lists_the_routes_of_each_back_end() {
        let paths = |federated: bool| {
            let document = document(federated);
            assert_eq!(document["openapi"], "3.1.0");
            document["paths"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        };
        let common = [
            "/healthz",
            "/metrics",
            "/oauth2/v1/refreshaccesstoken",
            "/oauth2/v1/token",
            "/openapi.json",
            "/readyz",
        ];
        assert_eq!(paths(false), common);
        assert_eq!(paths(true), [&common[..], &["/use/token", "/v1/token"]].concat());
    }
}
