package audit

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/boardroom-tee/boardroom/tools/audit/difference"
)

// progress writes lines of several writers to one, each with the seconds since the audit began.
type progress struct {
	mu    sync.Mutex
	to    io.Writer
	start time.Time
}

func (p *progress) say(who, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Nothing depends on who reads along.
	_, _ = fmt.Fprintf(p.to, "[%4.0f s] %-4s %s\n", time.Since(p.start).Seconds(), who, fmt.Sprintf(format, args...))
}

// lines is a writer whose lines are said by somebody.
type lines struct {
	p    *progress
	who  string
	mu   sync.Mutex
	rest []byte
}

// maxLine bounds a line of another program, in bytes.
const maxLine = 500

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 {
			break
		}
		if line := bytes.TrimRight(l.rest[:end], " \t\r"); len(line) > 0 {
			l.p.say(l.who, "%s", difference.Plain(strings.ReplaceAll(string(line[:min(len(line), maxLine)]), "\t", "  ")))
		}
		l.rest = l.rest[end+1:]
	}
	if len(l.rest) > maxLine {
		l.rest = l.rest[:maxLine]
	}
	return len(b), nil
}
