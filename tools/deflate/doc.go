// Package deflate compresses a byte stream into one gzip member whose bytes
// are a pure function of the input and of this package's Version.
//
// Layer digests are taken over compressed bytes, so a compressor that may
// change with the toolchain cannot sit under a reproducible image. This one
// implements DEFLATE (RFC 1951) and gzip framing (RFC 1952) itself, in integer
// arithmetic with every tie broken explicitly. Its output does not depend on
// the Go release, the CPU, the host, GOMAXPROCS, or how the input was divided
// into Write calls; the header carries no time, name or operating system.
//
// The input is cut every 480 KiB. Each chunk is compressed on its own, with the
// 32 KiB before it as preset dictionary, and ends on a byte boundary, so chunks
// can be compressed at the same time and joined in order.
//
// n bytes of input give at most n + n/2048 + 32 bytes of output.
//
// TestGolden holds the guarantee: it fixes the SHA-256 of the output for
// synthetic inputs and names the Version those digests belong to. A change that
// moves a digest is a change of Version.
package deflate

// Version identifies the mapping from input bytes to output bytes. It is
// raised by every change after which some input compresses to different bytes,
// and by nothing else.
const Version = 1
