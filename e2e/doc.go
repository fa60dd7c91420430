// Package e2e runs the real program from outside: the built binary, a real
// browser, and the clients that Cotter published, unmodified. See README.md for
// what it needs; it holds tests only.
package e2e
