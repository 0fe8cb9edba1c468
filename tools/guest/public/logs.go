package public

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/guest/engine"
)

// logQuery is what /logs/ is asked.
type logQuery struct {
	engine.LogQuery
	text, bare, ansi bool
}

// defaultTail is how many lines there are where a request does not say.
const defaultTail = 1000

// parseLogQuery reads the query's members; one that stands there twice or has no meaning is refused, as another log than the one that was
// wanted would be the answer.
func parseLogQuery(query url.Values, now time.Time) (q logQuery, err error) {
	q.Tail = defaultTail
	for name, values := range query {
		if len(values) != 1 {
			return q, fmt.Errorf("%s: expected it once, got it %d times", name, len(values))
		}
		value := values[0]
		switch name {
		case "since":
			q.Since, err = parseTime(value, now)
		case "until":
			q.Until, err = parseTime(value, now)
		case "tail":
			q.Tail, err = parseTail(value)
		case "follow":
			q.Follow, err = parseFlag(value)
		case "timestamps":
			q.Timestamps, err = parseFlag(value)
		case "text":
			q.text, err = parseFlag(value)
		case "bare":
			q.bare, err = parseFlag(value)
		case "ansi":
			q.ansi, err = parseFlag(value)
		default:
			err = errors.New("there is no such parameter")
		}
		if err != nil {
			return q, fmt.Errorf("%.40s: %w", name, err)
		}
	}
	return q, nil
}

// parseFlag takes true and false; a name alone is true.
func parseFlag(value string) (bool, error) {
	switch value {
	case "", "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fmt.Errorf("expected true or false, got %.40q", value)
}

// units are the ends of relative times, in seconds.
var units = map[byte]int64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400}

// parseTime takes seconds since 1970, or a number with a unit: that long ago.
func parseTime(value string, now time.Time) (int64, error) {
	refused := fmt.Errorf("expected seconds since 1970, or a number and s, m, h or d, got %.40q", value)
	if value == "" {
		return 0, refused
	}
	unit, relative := units[value[len(value)-1]]
	n, err := strconv.ParseUint(strings.TrimRight(value, "smhd"), 10, 40)
	if err != nil || relative && len(strings.TrimRight(value, "smhd")) != len(value)-1 {
		return 0, refused
	}
	if !relative {
		return int64(n), nil
	}
	return max(now.Unix()-int64(n)*unit, 0), nil
}

func parseTail(value string) (int, error) {
	if value == "all" {
		return -1, nil
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("expected a number of lines or all, got %.40q", value)
	}
	return int(n), nil
}

// logs streams a container's log.
func (p Page) logs(w http.ResponseWriter, r *http.Request, e Engine) {
	if !p.Logs {
		http.Error(w, "logs are not public", http.StatusForbidden)
		return
	}
	q, err := parseLogQuery(r.URL.Query(), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	stream, frames, err := e.Logs(r.Context(), r.PathValue("container"), q.LogQuery)
	if err != nil {
		refuse(w, err)
		return
	}
	defer stream.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	next := engine.ReadFrame
	if !frames {
		next = readRaw
	}
	// The answer has begun when an error comes: it is cut off, which the client sees.
	if err := q.copy(w, stream, next); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// readRaw reads what there is from a terminal.
func readRaw(r io.Reader) (channel string, message []byte, err error) {
	buffer := make([]byte, 32<<10)
	n, err := r.Read(buffer)
	if n > 0 {
		return "stdout", buffer[:n], nil
	}
	return "", nil, err
}

// copy writes each message as it comes.
func (q logQuery) copy(w http.ResponseWriter, stream io.Reader, next func(io.Reader) (string, []byte, error)) error {
	flush := http.NewResponseController(w)
	for {
		channel, message, err := next(stream)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(q.format(channel, message)); err != nil {
			return err
		}
		if q.Follow {
			if err := flush.Flush(); err != nil {
				return err
			}
		}
	}
}

// format is one message as it was asked for: bare bytes, or a line of JSON whose message is text or base64.
func (q logQuery) format(channel string, message []byte) []byte {
	if q.bare {
		if q.text && !q.ansi {
			return stripANSI([]byte(strings.ToValidUTF8(string(message), "\ufffd")))
		}
		return message
	}
	line := struct {
		Channel string `json:"channel"`
		Message string `json:"message"`
	}{channel, base64.StdEncoding.EncodeToString(message)}
	if q.text {
		line.Message = strings.ToValidUTF8(string(message), "\ufffd")
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(line); err != nil {
		panic(err) // only for types that JSON has no form for
	}
	return []byte(text.String())
}

// stripANSI leaves out escape sequences (ECMA-48): ESC [ … final byte, ESC ] … BEL or ESC \, and ESC with one other byte.
func stripANSI(b []byte) []byte {
	const escape, bell = 0x1b, 0x07
	kept := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != escape {
			kept = append(kept, b[i])
			continue
		}
		i++
		switch {
		case i < len(b) && b[i] == '[':
			for i++; i < len(b) && (b[i] < 0x40 || b[i] > 0x7e); i++ {
			}
		case i < len(b) && b[i] == ']':
			for i++; i < len(b) && b[i] != bell && b[i] != escape; i++ {
			}
			if i+1 < len(b) && b[i] == escape && b[i+1] == '\\' {
				i++
			}
		}
	}
	return kept
}
