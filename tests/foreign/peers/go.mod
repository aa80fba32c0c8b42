module equinix-wif/tests/foreign/peers

go 1.25

require (
	github.com/equinix/equinix-sdk-go v0.66.0
	github.com/equinix/oauth2-go v1.0.0
	github.com/getkin/kin-openapi v0.153.0
	golang.org/x/oauth2 v0.26.0
)

require (
	github.com/go-openapi/jsonpointer v0.22.5 // indirect
	github.com/go-openapi/swag/jsonname v0.25.5 // indirect
	github.com/go-resty/resty/v2 v2.3.0 // indirect
	github.com/gorilla/mux v1.8.0 // indirect
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
	golang.org/x/net v0.0.0-20200513185701-a91f0712d120 // indirect
	golang.org/x/text v0.14.0 // indirect
)
