package keccak

import (
	"bytes"
	"encoding/hex"
	"testing"

	"golang.org/x/crypto/sha3"
)

func TestKnown(t *testing.T) {
	// Ethereum's hash of nothing, and of abc as in the Keccak team's vectors.
	for text, want := range map[string]string{
		"":    "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
		"abc": "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
	} {
		if got := Sum256([]byte(text)); hex.EncodeToString(got[:]) != want {
			t.Errorf("%q: %x, want %s", text, got, want)
		}
	}
}

// TestAgainstLibrary goes over every length around the first blocks, cut in two at different places.
func TestAgainstLibrary(t *testing.T) {
	data := bytes.Repeat([]byte("boardroom!7"), 50)
	for n := range len(data) + 1 {
		h := sha3.NewLegacyKeccak256()
		h.Write(data[:n])
		if got, want := Sum256(data[:n/3], data[n/3:n]), h.Sum(nil); !bytes.Equal(got[:], want) {
			t.Fatalf("%d bytes: %x, want %x", n, got, want)
		}
	}
}
