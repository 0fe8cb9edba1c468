package gobuild

import "testing"

// Modules come from where a builder is told to take them, whatever the user has; they are compared with go.sum as ever.
func TestFetchFrom(t *testing.T) {
	w := words(t)
	b := isolated(t, builder(t, source(t, nil), "off"))
	if got := b.Proxies(); got != "off" {
		t.Errorf("the user's proxies are %q, want off", got)
	}
	if _, err := b.Program(t.Context(), "cmd/hello"); err == nil {
		t.Fatal("a module was fetched from nowhere")
	}
	b.FetchFrom(serveModules(t, w))
	compile(t, b)
}
