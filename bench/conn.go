package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
)

// A conn is one keep-alive HTTP/1.1 connection with as little around it as can be:
// the generator runs on the processors that it measures. It reads what our server
// and net/http send, and nothing more exotic.
type conn struct {
	net.Conn
	in     *bufio.Reader
	out    []byte // the request, built by its user
	status int    // of the last answer
	body   []byte // of the last answer; the next one overwrites it
	read   int64  // bytes of all answers, heads included
}

func dial(address string) (*conn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return &conn{Conn: c, in: bufio.NewReaderSize(c, 8<<10)}, nil
}

// do sends c.out and reads the answer.
func (c *conn) do() error {
	if _, err := c.Write(c.out); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	if err := c.answer(); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}

func (c *conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	c.read += int64(len(line))
	return bytes.TrimRight(line, "\r\n"), err
}

func (c *conn) answer() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return fmt.Errorf("not HTTP/1.1: %q", line)
	}
	if c.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return err
	}
	length, chunked := 0, false
	for {
		if line, err = c.line(); err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		switch name, value, _ := bytes.Cut(line, []byte(": ")); {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	c.body = c.body[:0]
	if !chunked {
		return c.take(length)
	}
	for {
		if line, err = c.line(); err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(line), 16, 32)
		if err != nil {
			return err
		}
		if err := c.take(int(size)); err != nil {
			return err
		}
		if _, err := c.line(); err != nil || size == 0 {
			return err
		}
	}
}

// take reads n more bytes of the body.
func (c *conn) take(n int) error {
	have := len(c.body)
	c.body = append(c.body, make([]byte, n)...)
	_, err := io.ReadFull(c.in, c.body[have:])
	c.read += int64(n)
	return err
}

// text returns the string that stands behind name in the last answer's JSON, and
// empty where there is none. Our tokens and ids contain nothing that is escaped.
func (c *conn) text(name string) string {
	_, after, found := bytes.Cut(c.body, []byte(`"`+name+`":"`))
	end := bytes.IndexByte(after, '"')
	if !found || end < 0 {
		return ""
	}
	return string(after[:end])
}

// number is text for a number, as its digits.
func (c *conn) number(name string) string {
	_, after, _ := bytes.Cut(c.body, []byte(`"`+name+`":`))
	end := bytes.IndexFunc(after, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		return ""
	}
	return string(after[:end])
}
