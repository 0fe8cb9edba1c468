package deflate

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"runtime"
)

// maxWorkers bounds the memory of a Writer on machines with many cores.
const maxWorkers = 16

var errClosed = errors.New("deflate: write after Close")

// header is the fixed gzip header (RFC 1952 §2.3): magic, CM 8, no flags,
// MTIME 0, XFL 0, OS 255 for unknown.
var header = [10]byte{0: 0x1f, 1: 0x8b, 2: 8, 9: 255}

// Writer compresses what is written to it into one gzip member. Its methods
// must not be called concurrently.
//
// With N = min(GOMAXPROCS, 16) at the time of NewWriter, it compresses up to
// N+1 chunks of the input at a time and holds at most N+2, each about 1.5 MiB.
// The underlying writer is called only from within Write and Close.
type Writer struct {
	w       io.Writer
	workers int
	cur     *chunk   // being filled
	queue   []*chunk // being compressed, oldest first
	started bool     // the header has been written
	closed  bool
	err     error
	crc     uint32
	size    uint32 // of the input, bytes modulo 1<<32, as ISIZE is
}

// NewWriter returns a Writer whose output goes to w.
func NewWriter(w io.Writer) *Writer {
	return newWriter(w, min(runtime.GOMAXPROCS(0), maxWorkers))
}

func newWriter(w io.Writer, workers int) *Writer {
	return &Writer{w: w, workers: workers, cur: newChunk(nil)}
}

// AppendGzip appends to dst the gzip member for src and returns the extended
// slice. The bytes appended are those a Writer produces.
func AppendGzip(dst, src []byte) []byte {
	out := appender{dst}
	w := NewWriter(&out)
	// An appender does not fail, and nothing else in a Writer does.
	_, _ = w.Write(src)
	_ = w.Close()
	return out.b
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// Write compresses p. Output may be delayed until a later Write or Close. It
// returns the number of bytes of p accepted and the first error of the
// underlying writer, which every later call returns too, or an error if the
// Writer is closed.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err == nil && w.closed {
		return 0, errClosed
	}
	accepted := 0
	for w.err == nil && len(p) > 0 {
		// A full chunk waits for the next byte, since it may be the final one.
		if w.cur.full() {
			next := newChunk(w.cur)
			w.submit(w.cur)
			w.cur = next
			continue
		}
		n := w.cur.fill(p)
		w.crc = crc32.Update(w.crc, crc32.IEEETable, p[:n])
		w.size += uint32(n)
		accepted += n
		p = p[n:]
	}
	return accepted, w.err
}

// Close writes all pending output and the gzip trailer. It does not close the
// underlying writer. It returns the first error of the underlying writer; a
// second Close does nothing and returns the same.
func (w *Writer) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	if w.err != nil {
		return w.err
	}
	w.cur.final = true
	w.submit(w.cur)
	for len(w.queue) > 0 {
		w.collect()
	}
	// RFC 1952 §2.3.1: CRC32, then ISIZE, least significant byte first.
	trailer := binary.LittleEndian.AppendUint32(nil, w.crc)
	w.output(binary.LittleEndian.AppendUint32(trailer, w.size))
	return w.err
}

// submit starts the compression of c. One chunk more than there are workers is
// kept under way, so that none idles while output is written.
func (w *Writer) submit(c *chunk) {
	go func() {
		c.compress()
		c.done <- struct{}{}
	}()
	w.queue = append(w.queue, c)
	if len(w.queue) > w.workers {
		w.collect()
	}
}

// collect waits for the oldest chunk and writes its output.
func (w *Writer) collect() {
	c := w.queue[0]
	w.queue = append(w.queue[:0], w.queue[1:]...)
	<-c.done
	if !w.started {
		w.started = true
		w.output(header[:])
	}
	w.output(c.blocks.out.buf)
	chunkPool.Put(c)
}

// output writes p unless an error has occurred.
func (w *Writer) output(p []byte) {
	if w.err != nil {
		return
	}
	n, err := w.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	w.err = err
}
