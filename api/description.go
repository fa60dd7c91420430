package api

import _ "embed"

// Description is the OpenAPI 3.1 document of /v1, in YAML.
//
//go:embed openapi.yaml
var Description []byte
