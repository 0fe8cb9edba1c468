package gobuild

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/modtest"
)

// serveModules starts a module proxy that has one module.
func serveModules(t *testing.T, p modtest.Module) string {
	t.Helper()
	base := "/" + p.Path + "/@v/" + p.Version
	files := map[string][]byte{
		base + ".info": fmt.Appendf(nil, `{"Version": %q, "Time": "2026-01-01T00:00:00Z"}`, p.Version),
		base + ".mod":  []byte(p.Mod),
		base + ".zip":  p.Zip,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(content)
	}))
	t.Cleanup(server.Close)
	return server.URL
}
