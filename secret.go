package splitpin

import "log/slog"

// A Secret is text that must not reach a log, an error or a trace: a code, a
// token, a key. It prints as [redacted] however it is printed; Reveal is the one
// way to its content, so that a search for Reveal finds every place where a
// secret leaves.
//
// Two ways round it are not in the hands of a type: package fmt calls no method
// of an unexported field when it prints the struct around it, and encoding/json
// none of a map's key. So keep secrets in exported fields, and never as keys.
type Secret string

const redacted = "[redacted]"

// Reveal returns the content.
func (s Secret) Reveal() string { return string(s) }

func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
