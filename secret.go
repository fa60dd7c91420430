package splitpin

import "log/slog"

// A Secret is text that must not reach a log, an error or a trace: a code, a
// token, a key. It prints as [redacted] however it is printed; Reveal is the one
// way to its content, so that a search for Reveal finds every place where a
// secret leaves.
type Secret string

const redacted = "[redacted]"

// Reveal returns the content.
func (s Secret) Reveal() string { return string(s) }

func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
