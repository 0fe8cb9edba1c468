package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/dstack/guestagent"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// AttestationRoutes serves evidence about this process to anybody who asks with a nonce of their own.
func AttestationRoutes(a *Attester, log *slog.Logger) []web.Route {
	return []web.Route{{Method: http.MethodGet, Path: "/attestation", Handle: func(w http.ResponseWriter, r *http.Request) {
		nonce, ok := soleNonce(r.URL.RawQuery)
		if !ok {
			web.Fail(w, http.StatusBadRequest, "nonce_required",
				"ask as GET /attestation?nonce=HEX with one nonce of your own, 16 to 64 random bytes in lower-case hex, and nothing else; "+
					"evidence without your nonce could be an old recording")
			return
		}
		e, err := a.Attest(r.Context(), nonce)
		if err != nil {
			status, code := attestationFailure(err)
			if status >= 500 {
				log.Warn("no evidence", "code", code, "error", err.Error())
			}
			if status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "5")
			}
			web.Fail(w, status, code, err.Error())
			return
		}
		web.JSON(w, http.StatusOK, e)
	}}}
}

// soleNonce returns the nonce of a query that has exactly one and no other parameter.
func soleNonce(query string) (string, bool) {
	values, err := url.ParseQuery(query)
	if err != nil || len(values) != 1 || len(values["nonce"]) != 1 || values["nonce"][0] == "" {
		return "", false
	}
	return values["nonce"][0], true
}

func attestationFailure(err error) (status int, code string) {
	var claim *evidence.ClaimError
	switch {
	case errors.As(err, &claim):
		return http.StatusBadRequest, "bad_nonce"
	case errors.Is(err, ErrBusy):
		return http.StatusServiceUnavailable, "busy"
	case errors.Is(err, guestagent.ErrNoSocket):
		return http.StatusServiceUnavailable, "no_guest_agent"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusGatewayTimeout, "attestation_timeout"
	default:
		return http.StatusBadGateway, "quote_failed"
	}
}
