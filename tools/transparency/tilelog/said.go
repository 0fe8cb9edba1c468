package tilelog

import (
	"context"
	"log/slog"
	"sync"

	"k8s.io/klog/v2"
)

// said keeps what Tessera last said through klog, which would print it to stderr: what went wrong in the background is in there and
// nowhere else.
var said = new(lastMessage)

func init() { klog.SetSlogLogger(slog.New(said)) }

type lastMessage struct {
	mu   sync.Mutex
	text string
}

func (m *lastMessage) last() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text
}

// Enabled, Handle, WithAttrs and WithGroup make a slog.Handler.
func (m *lastMessage) Enabled(context.Context, slog.Level) bool { return true }

func (m *lastMessage) Handle(_ context.Context, r slog.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = r.Message
	return nil
}

func (m *lastMessage) WithAttrs([]slog.Attr) slog.Handler { return m }
func (m *lastMessage) WithGroup(string) slog.Handler      { return m }
