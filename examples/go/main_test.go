package main

import (
	"net"
	"testing"
)

// The printed URL is one that opens the shop, wherever it listens.
func TestAddress(t *testing.T) {
	got := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8999}
	for listen, want := range map[string]string{
		"localhost:8999": "http://localhost:8999",
		"127.0.0.1:0":    "http://127.0.0.1:8999",
		":8999":          "http://localhost:8999",
		"0.0.0.0:8999":   "http://localhost:8999",
		"[::]:8999":      "http://localhost:8999",
		"[::1]:8999":     "http://[::1]:8999",
	} {
		if url := address(listen, got); url != want {
			t.Errorf("%s: got %s, want %s", listen, url, want)
		}
	}
}
