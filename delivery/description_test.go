package delivery_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Twilio publishes an OpenAPI description of its API, which lies in a package of its
// own command line on npm. "make test" fetches that package; it is in nobody's build.
const (
	twilioPackage   = "testdata/twilio-cli-core-9.0.0.tgz"
	twilioIntegrity = "sha512-FPHm5gXAUwM2oATmQi3AGYPFz4Urg5G5/vDkpUu5WqNuwueQaS93HwXjdX1OM+miuq0LMimdfbXDTLEp4Nsjfg==" // as npm lists it
)

// A description is one document of OpenAPI 3.0, strict where we could go wrong: it
// takes no parameter that it does not name.
type description struct {
	document map[string]any
	compiler *jsonschema.Compiler
}

var readTwilio = sync.OnceValues(func() (map[string]*description, error) {
	packed, err := os.ReadFile(twilioPackage)
	if err != nil {
		return nil, err
	}
	if sum := sha512.Sum512(packed); "sha512-"+base64.StdEncoding.EncodeToString(sum[:]) != twilioIntegrity {
		return nil, fmt.Errorf("%s is not the package that npm lists: delete it", twilioPackage)
	}
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	wanted := map[string]string{"twilio_api_v2010.json": "api", "twilio_messaging_v1.json": "messaging", "twilio_verify_v2.json": "verify"}
	found := map[string]*description{}
	for files := tar.NewReader(plain); len(found) < len(wanted); {
		h, err := files.Next()
		if err != nil {
			return nil, fmt.Errorf("looking for the descriptions: %w", err)
		}
		product := wanted[h.Name[strings.LastIndexByte(h.Name, '/')+1:]]
		if product == "" {
			continue
		}
		text, err := io.ReadAll(files)
		if err != nil {
			return nil, err
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		modern(value)
		d := &description{value.(map[string]any), jsonschema.NewCompiler()}
		d.compiler.DefaultDraft(jsonschema.Draft4)
		if err := d.compiler.AddResource("twilio.json", d.document); err != nil {
			return nil, err
		}
		found[product] = d
	}
	return found, nil
})

// modern writes what OpenAPI 3.0 calls nullable as JSON Schema does.
func modern(node any) {
	switch n := node.(type) {
	case map[string]any:
		if kind, ok := n["type"].(string); ok && n["nullable"] == true {
			n["type"] = []any{kind, "null"}
		}
		for _, inner := range n {
			modern(inner)
		}
	case []any:
		for _, inner := range n {
			modern(inner)
		}
	}
}

// twilioDescriptions returns the descriptions by product; nil where the package was
// not fetched, which "make test" does not let pass.
func twilioDescriptions(t testing.TB) map[string]*description {
	t.Helper()
	d, err := readTwilio()
	switch {
	case errors.Is(err, fs.ErrNotExist) && os.Getenv("E2E") == "":
		t.Log("Twilio's own description was not fetched (make test does), so its fake judges alone")
		return nil
	case err != nil:
		t.Fatal(err)
	}
	return d
}

func at(node any, path ...string) any {
	for _, p := range path {
		m, _ := node.(map[string]any)
		node = m[p]
	}
	return node
}

func pointer(path ...string) string {
	var b strings.Builder
	b.WriteString("twilio.json#")
	for _, p := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(p))
	}
	return b.String()
}

// operation finds what describes a request, and holds the path against it.
func (d *description) operation(method, path string) (where []string, err error) {
	parts := strings.Split(path, "/")
	paths, _ := at(d.document, "paths").(map[string]any)
next:
	for pattern, item := range paths {
		pieces := strings.Split(pattern, "/")
		if len(pieces) != len(parts) {
			continue
		}
		values := map[string]string{}
		for i, piece := range pieces {
			before, rest, variable := strings.Cut(piece, "{")
			name, after, _ := strings.Cut(rest, "}")
			switch {
			case !variable && piece != parts[i]:
				continue next
			case variable && !(strings.HasPrefix(parts[i], before) && strings.HasSuffix(parts[i], after)):
				continue next
			case variable:
				values[name] = strings.TrimSuffix(strings.TrimPrefix(parts[i], before), after)
			}
		}
		where = []string{"paths", pattern, strings.ToLower(method)}
		operation := at(item, where[2])
		if operation == nil {
			continue
		}
		parameters, _ := at(operation, "parameters").([]any)
		for i, p := range parameters {
			if at(p, "in") != "path" {
				continue
			}
			schema, err := d.compiler.Compile(pointer(append(where, "parameters", strconv.Itoa(i), "schema")...))
			if err != nil {
				return nil, err
			}
			if err := schema.Validate(values[at(p, "name").(string)]); err != nil {
				return nil, fmt.Errorf("%s: %w", at(p, "name"), err)
			}
		}
		return where, nil
	}
	return nil, fmt.Errorf("the description knows no %s %s", method, path)
}

// request holds a request against the description.
func (d *description) request(r *http.Request, path string, form url.Values) error {
	where, err := d.operation(r.Method, path)
	if err != nil {
		return err
	}
	content := append(where, "requestBody", "content", "application/x-www-form-urlencoded", "schema")
	properties, _ := at(d.document, append(content, "properties")...).(map[string]any)
	if properties == nil {
		if len(form) > 0 {
			return fmt.Errorf("%s %s takes no form", r.Method, path)
		}
		return nil
	}
	if kind := r.Header.Get("Content-Type"); kind != "application/x-www-form-urlencoded" {
		return fmt.Errorf("the description knows no request of type %q", kind)
	}
	value := map[string]any{}
	for name, given := range form {
		if properties[name] == nil {
			return fmt.Errorf("the description knows no parameter %s", name)
		}
		if len(given) != 1 {
			return fmt.Errorf("%s stands there %d times", name, len(given))
		}
		value[name] = given[0]
		if kind := at(properties[name], "type"); kind == "integer" || kind == "boolean" {
			value[name] = json.Number(given[0])
			if kind == "boolean" {
				value[name] = given[0] == "true"
			}
		}
	}
	schema, err := d.compiler.Compile(pointer(content...))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// answer holds what a fake answers against the description: else it would teach us
// an API that is not there.
func (d *description) answer(method, path string, status int, body []byte) error {
	where, err := d.operation(method, path)
	if err != nil {
		return err
	}
	schema, err := d.compiler.Compile(pointer(append(where, "responses", strconv.Itoa(status), "content", "application/json", "schema")...))
	if err != nil {
		return fmt.Errorf("the description knows no answer %d: %w", status, err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}
