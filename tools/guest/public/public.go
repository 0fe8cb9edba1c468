package public

import (
	"context"
	"errors"
	"html/template"
	"io"
	"net/http"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/guest/engine"
)

// Engine is where containers and logs come from.
type Engine interface {
	Containers(context.Context) ([]engine.Container, error)
	Logs(ctx context.Context, container string, q engine.LogQuery) (stream io.ReadCloser, frames bool, err error)
}

// Page is what is shown.
type Page struct {
	Application, App, Instance, ComposeHash string
	// Version is that of dstack.
	Version string
	// Logs and SysInfo say whether the application makes them public.
	Logs, SysInfo bool
}

// Handler serves the page at the root, logs under /logs/, metrics at /metrics, and the worker under /prpc/.
func Handler(p Page, e Engine, worker http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/prpc/", worker)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { p.dashboard(w, r, e) })
	mux.HandleFunc("GET /logs/{container}", func(w http.ResponseWriter, r *http.Request) { p.logs(w, r, e) })
	mux.HandleFunc("GET /metrics", p.metrics)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-App-Version", p.Version)
		mux.ServeHTTP(w, r)
	})
}

// dashboard shows containers and the machine only as far as they are public.
func (p Page) dashboard(w http.ResponseWriter, r *http.Request, e Engine) {
	content := struct {
		Page
		Containers []engine.Container
		System     *system
	}{Page: p}
	var err error
	if content.Containers, err = e.Containers(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if p.SysInfo {
		if content.System, err = readSystem(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	var text strings.Builder
	if err := dashboard.Execute(&text, content); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = io.WriteString(w, text.String()) // to a client that may have gone
}

var dashboard = template.Must(template.New("dashboard").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Application}}</title>
<style>body{font-family:sans-serif;margin:2em}th,td{text-align:left;padding:.2em 1em .2em 0}code{word-break:break-all}</style></head><body>
<h1>{{.Application}}</h1>
<table>
<tr><th>App ID</th><td><code>{{.App}}</code></td></tr>
<tr><th>Instance ID</th><td><code>{{.Instance}}</code></td></tr>
<tr><th>Compose hash</th><td><code>{{.ComposeHash}}</code></td></tr>
<tr><th>dstack</th><td>{{.Version}}</td></tr>
</table>
{{with .System}}<h2>System</h2>
<table>
<tr><th>Kernel</th><td>{{.Kernel}}</td></tr>
<tr><th>CPUs</th><td>{{.CPUs}}</td></tr>
<tr><th>Memory</th><td>{{.MemoryTotal}} bytes, {{.MemoryAvailable}} available</td></tr>
<tr><th>Load</th><td>{{printf "%.2f" .Load1}} {{printf "%.2f" .Load5}} {{printf "%.2f" .Load15}}</td></tr>
<tr><th>Up for</th><td>{{printf "%.0f" .Uptime}} s</td></tr>
</table>{{end}}
<h2>Containers</h2>
<table><tr><th>Name</th><th>Image</th><th>State</th>{{if .Logs}}<th>Logs</th>{{end}}</tr>
{{$logs := .Logs}}{{range .Containers}}<tr><td>{{range .Names}}{{.}} {{end}}</td><td>{{.Image}}</td><td>{{.Status}}</td>
{{if $logs}}<td>{{range .Names}}<a href="/logs/{{.}}?text&amp;bare&amp;timestamps&amp;tail=200">{{.}}</a> {{end}}</td>{{end}}</tr>
{{end}}</table></body></html>
`))

// refuse answers with the engine's own status where it has one.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var refused *engine.StatusError
	if errors.As(err, &refused) && refused.Status >= 400 && refused.Status < 500 {
		status = refused.Status
	}
	http.Error(w, err.Error(), status)
}
