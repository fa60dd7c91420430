package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
)

// A sink is a mail server that takes every letter and hands its code to whoever
// waits for it. It knows as much SMTP as a client of ours speaks, and answers
// pipelined commands together.
type sink struct {
	listener net.Listener
	read     atomic.Int64 // bytes that arrived

	mu      sync.Mutex
	waiting map[string]chan<- string // by address
}

func newSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the mail sink: %w", err)
	}
	s := &sink{listener: l, waiting: map[string]chan<- string{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.converse(c)
		}
	}()
	return s, nil
}

func (s *sink) port() string { return strconv.Itoa(s.listener.Addr().(*net.TCPAddr).Port) }

// expect has the code of the next letter to address sent to code, which must have
// room for it.
func (s *sink) expect(address string, code chan<- string) {
	s.mu.Lock()
	s.waiting[address] = code
	s.mu.Unlock()
}

func (s *sink) arrived(address []byte, code string) {
	s.mu.Lock()
	waiting := s.waiting[string(address)]
	delete(s.waiting, string(address))
	s.mu.Unlock()
	if waiting != nil {
		waiting <- code
	}
}

var (
	codeInSubject = regexp.MustCompile(`^Subject: ([0-9]{6})`)
	inBrackets    = regexp.MustCompile(`<([^>]*)>`)
)

func (s *sink) converse(c net.Conn) {
	defer c.Close()
	in, out := bufio.NewReaderSize(c, 16<<10), bufio.NewWriter(c)
	out.WriteString("220 localhost\r\n")
	var to []byte
	for {
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		s.read.Add(int64(len(line)))
		verb, _, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(" "))
		switch string(bytes.ToUpper(verb)) {
		case "EHLO":
			out.WriteString("250-localhost\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
		case "RCPT":
			to = to[:0]
			if m := inBrackets.FindSubmatch(line); m != nil {
				to = append(to, m[1]...)
			}
			out.WriteString("250 OK\r\n")
		case "DATA":
			out.WriteString("354 Go on\r\n")
			if out.Flush() != nil {
				return
			}
			code, err := s.letter(in)
			if err != nil {
				return
			}
			s.arrived(to, code)
			out.WriteString("250 OK\r\n")
		case "QUIT":
			out.WriteString("221 Bye\r\n")
			out.Flush()
			return
		default:
			out.WriteString("250 OK\r\n")
		}
	}
}

// letter reads to the end of the content and returns the code of its subject;
// empty where it has none.
func (s *sink) letter(in *bufio.Reader) (code string, err error) {
	for {
		line, err := in.ReadSlice('\n')
		s.read.Add(int64(len(line)))
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
		if line[0] == '.' && string(bytes.TrimRight(line, "\r\n")) == "." {
			return code, nil
		}
		if line[0] == 'S' && code == "" {
			if m := codeInSubject.FindSubmatch(line); m != nil {
				code = string(m[1])
			}
		}
	}
}
