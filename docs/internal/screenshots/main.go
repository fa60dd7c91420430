// Command screenshots takes the pictures of README.md: it runs "splitpin dev" on
// a data folder of its own, signs in as a person would, and writes what Chromium
// shows. "make screenshots" calls it.
//
//	go run ./docs/internal/screenshots bin/splitpin docs/images
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// The size of the pictures in CSS pixels; they have twice as many of their own.
const width, height = 440, 580

const address = "ada@example.org"

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: screenshots BINARY FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

func run(binary, folder string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	temp, err := os.MkdirTemp("", "splitpin-screenshots-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	server, stop, err := start(ctx, binary, filepath.Join(temp, "data"))
	if err != nil {
		return err
	}
	defer stop()

	chromium := os.Getenv("CHROMIUM")
	if chromium == "" {
		chromium = "chromium"
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(filepath.Join(temp, "profile")),
		chromedp.Flag("force-device-scale-factor", "2"),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE localhost"), // nothing leaves this machine
		chromedp.WindowSize(width, height),
	)
	allocator, cancelAllocator := chromedp.NewExecAllocator(ctx, options...)
	defer cancelAllocator()
	browser, cancelBrowser := chromedp.NewContext(allocator)
	defer cancelBrowser()
	if err := chromedp.Do(browser); err != nil {
		return fmt.Errorf("starting Chromium (CHROMIUM names another): %w", err)
	}
	b := tab{browser}

	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(width, height, chromedp.EmulateScale(2)), chromedp.Navigate(server.signin())); err != nil {
		return fmt.Errorf("opening the sign-in page: %w", err)
	}
	if err := b.await(`document.querySelector("#address")?.checkVisibility()`); err != nil {
		return err
	}
	if err := b.pictures(filepath.Join(folder, "signin")); err != nil {
		return err
	}
	if err := b.fill("#address", address+"\r"); err != nil {
		return err
	}
	code, err := server.code(ctx)
	if err != nil {
		return err
	}
	if err := b.await(`document.querySelector("#code")?.checkVisibility()`); err != nil {
		return err
	}
	if err := b.fill("#code", code[:3]); err != nil { // as somebody who is typing
		return err
	}
	return b.pictures(filepath.Join(folder, "code"))
}

// A running is the program as "dev".
type running struct{ url, demo, project, inbox string }

func start(ctx context.Context, binary, data string) (running, func(), error) {
	addresses := [2]string{"127.0.0.1:8080", "127.0.0.1:8081"} // as in the manual, where they are free
	for i := range addresses {
		l, err := net.Listen("tcp", addresses[i])
		if err != nil {
			if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				return running{}, nil, err
			}
		}
		addresses[i] = l.Addr().String()
		l.Close()
	}
	cmd := exec.CommandContext(ctx, binary, "dev", "--listen", addresses[0], "--demo-listen", addresses[1], "--data", data)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return running{}, nil, err
	}
	if err := cmd.Start(); err != nil {
		return running{}, nil, err
	}
	stop := func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}
	var r running
	lines := bufio.NewScanner(out)
	urls, key := regexp.MustCompile(`http://\S+`), regexp.MustCompile(`[0-9a-f-]{36}`)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.Contains(line, "Demo app"):
			r.demo = urls.FindString(line)
		case strings.Contains(line, "Inbox"):
			r.inbox = urls.FindString(line)
		case strings.Contains(line, "API key id"):
			r.project = key.FindString(line)
		case strings.Contains(line, "Server"):
			r.url = urls.FindString(line)
		case strings.Contains(line, "Ctrl-C"):
			if r.demo == "" || r.inbox == "" || r.project == "" || r.url == "" {
				stop()
				return running{}, nil, errors.New("dev did not print its addresses as expected")
			}
			go func() { // so that the program is never held up by a full pipe
				for lines.Scan() {
				}
			}()
			return r, stop, nil
		}
	}
	stop()
	return running{}, nil, errors.New("dev ended while starting")
}

// signin is the address of our page, as an app opens it.
func (r running) signin() string {
	return r.url + "/signin?" + url.Values{
		"project": {r.project}, "redirect_url": {r.demo + "/"}, "state": {"picture"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, // the example of RFC 7636
	}.Encode()
}

// code waits for the mail and returns the code in it.
func (r running) code(ctx context.Context) (string, error) {
	inbox, err := url.Parse(r.inbox)
	if err != nil {
		return "", err
	}
	query := url.Values{"to": {address}, "token": {inbox.Query().Get("token")}}
	req, err := http.NewRequestWithContext(ctx, "GET", r.url+"/inbox/api/wait?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("waiting for the mail: %w", err)
	}
	defer answer.Body.Close()
	var message struct {
		Code string `json:"code"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&message); err != nil || len(message.Code) < 6 {
		return "", fmt.Errorf("the mail holds no code (%s): %v", answer.Status, err)
	}
	return message.Code, nil
}

type tab struct{ ctx context.Context }

// await waits until an expression is true of the page.
func (b tab) await(expression string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 400 {
		if ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+expression+")")); err == nil && ok {
			return nil
		}
		<-tick.C
	}
	return fmt.Errorf("waited in vain until %s", expression)
}

func (b tab) fill(selector, text string) error {
	err := chromedp.Do(b.ctx, chromedp.Focus(selector), chromedp.KeyEvent(text))
	if err != nil {
		return fmt.Errorf("typing into %s: %w", selector, err)
	}
	return nil
}

// pictures writes NAME.png and NAME-dark.png.
func (b tab) pictures(name string) error {
	for scheme, suffix := range map[string]string{"light": "", "dark": "-dark"} {
		err := chromedp.Do(b.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			}})
			return err
		}))
		if err != nil {
			return fmt.Errorf("choosing %s colours: %w", scheme, err)
		}
		png, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng})
		if err != nil {
			return fmt.Errorf("taking a picture: %w", err)
		}
		if err := os.WriteFile(name+suffix+".png", png.Data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
