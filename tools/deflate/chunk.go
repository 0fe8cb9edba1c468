package deflate

import "sync"

// chunkSize is the number of input bytes compressed as a unit, 480 KiB: with the
// dictionary it fills a window. It decides where blocks end, and so is part of
// Version.
const chunkSize = windowLen - windowSize

// chunk is one unit of work and everything needed to do it, about 1.5 MiB.
type chunk struct {
	// win holds the dictionary, then the data in win[start:end].
	win        window
	start, end int
	final      bool

	match  matcher
	tokens []token
	blocks blockWriter

	done chan struct{} // receives one value when compress has returned
}

var chunkPool = sync.Pool{New: func() any {
	return &chunk{done: make(chan struct{}, 1)}
}}

// newChunk returns an empty chunk that follows prev, nil for the first. prev is
// full, or its dictionary would be short.
func newChunk(prev *chunk) *chunk {
	c := chunkPool.Get().(*chunk)
	c.start, c.final = 0, false
	if prev != nil {
		c.start = copy(c.win[:windowSize], prev.win[prev.end-windowSize:prev.end])
	}
	c.end = c.start
	return c
}

func (c *chunk) full() bool { return c.end-c.start == chunkSize }

// fill takes bytes from p until the chunk is full and returns their number.
func (c *chunk) fill(p []byte) int {
	n := copy(c.win[c.end:c.start+chunkSize], p)
	c.end += n
	return n
}

// compress turns the data into blocks in c.blocks.out.buf that end on a byte
// boundary. An empty final chunk is one empty block.
func (c *chunk) compress() {
	out := &c.blocks.out
	out.reset()
	c.match.reset(&c.win, c.start, c.end)
	for {
		from := c.match.pos
		c.tokens = c.match.next(c.tokens[:0])
		last := c.match.pos == c.end
		c.blocks.writeBlock(c.tokens, c.win[from:c.match.pos], last && c.final)
		if last {
			break
		}
	}
	// An empty stored block carries the stream to a byte boundary
	// (RFC 1951 §3.2.4); after the final block padding does.
	if out.n > 0 && !c.final {
		c.blocks.writeStored(nil, false)
	}
	out.align()
}
