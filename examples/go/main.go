// Command go is a complete small backend whose users sign in with Splitpin: see
// its README. The application itself is in package shop.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/splitpin/splitpin/examples/go/shop"
)

func main() {
	var c shop.Config
	flag.StringVar(&c.ServerURL, "server", env("LOGIN_URL", "http://localhost:8080"), "URL of the sign-in server (LOGIN_URL)")
	flag.StringVar(&c.ProjectID, "project", env("API_KEY_ID", ""), "key id of the project (API_KEY_ID)")
	flag.StringVar(&c.Issuer, "issuer", env("LOGIN_ISSUER", ""), "issuer of the project's tokens, if not the server's URL (LOGIN_ISSUER)")
	flag.StringVar(&c.URL, "url", env("SHOP_URL", ""), "URL under which browsers reach this shop, if not the address it listens on (SHOP_URL)")
	flag.StringVar(&c.Database, "database", env("SHOP_DATABASE", "shop.db"), "path of the SQLite file (SHOP_DATABASE)")
	listen := flag.String("listen", env("SHOP_LISTEN", "localhost:3000"), "address to listen on (SHOP_LISTEN)")
	flag.Parse()
	if c.ProjectID == "" {
		fmt.Fprintln(os.Stderr, "Which project? Set API_KEY_ID to the key id that `splitpin dev` or `splitpin project list` prints.")
		os.Exit(2)
	}
	if err := run(c, *listen); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// address is the URL of a shop that nobody gave one: the host it was told to listen
// on, or localhost where it listens on all, and the port it got.
func address(listen string, got net.Addr) string {
	host, _, _ := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	_, port, _ := net.SplitHostPort(got.String())
	return "http://" + net.JoinHostPort(host, port)
}

// run serves the shop until the program is told to stop.
func run(c shop.Config, listen string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listening: %w (choose another address with -listen)", err)
	}
	defer l.Close()
	if c.URL == "" {
		c.URL = address(listen, l.Addr())
	}
	app, err := shop.New(ctx, c)
	if err != nil {
		return err
	}
	defer app.Close()
	server := &http.Server{
		Handler:           app,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
	fmt.Printf("The shop is open at %s\n", c.URL)
	go app.Ask(ctx)
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(ctx)
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return <-stopped
}
