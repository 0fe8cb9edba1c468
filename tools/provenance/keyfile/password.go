package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sigstore/cosign/v2/pkg/cosign/env"
)

// PasswordVariable is the environment's variable for a password, that of cosign.
const PasswordVariable = string(env.VariablePassword)

// maxPassword bounds a password, in bytes.
const maxPassword = 1 << 10

// ErrNoPassword: there is none in any place.
var ErrNoPassword = fmt.Errorf("password: expected one in a file, in %s or from a terminal, got none", PasswordVariable)

var errEmpty = errors.New("password: expected one that is not empty, got none")

// Passwords says where passwords come from: from a file, else from the environment, else from a terminal.
type Passwords struct {
	// File is the path of a file with the password and at most one line end behind it.
	File string
	// Lookup is [os.LookupEnv].
	Lookup func(name string) (string, bool)
	// Ask asks a person at a terminal, who does not see what is typed. It is nil without a terminal.
	Ask func(prompt string) ([]byte, error)
}

// Get returns the password of a key that a person knows by name. A person who sets one has to type it twice.
func (p Passwords) Get(name string, set bool) ([]byte, error) {
	password, err := p.get(name, set)
	if err != nil {
		return nil, err
	}
	if len(password) == 0 {
		return nil, errEmpty
	}
	if len(password) > maxPassword {
		return nil, fmt.Errorf("password: expected at most %d bytes, got more", maxPassword)
	}
	return password, nil
}

func (p Passwords) get(name string, set bool) ([]byte, error) {
	if p.File != "" {
		return readPassword(p.File)
	}
	if text, ok := p.Lookup(PasswordVariable); ok {
		return []byte(text), nil
	}
	if p.Ask == nil {
		return nil, ErrNoPassword
	}
	password, err := p.Ask("Password for " + name + ": ")
	if err != nil || !set {
		return password, err
	}
	again, err := p.Ask("The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(password, again) {
		return nil, errors.New("password: expected the same twice, got two")
	}
	return password, nil
}

func readPassword(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxPassword+3))
	if err != nil {
		return nil, fmt.Errorf("password: %w", err)
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")), nil
}
