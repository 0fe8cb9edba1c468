package kms

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

const (
	// prefix of the names of programs (cliplugin/client.go, PluginBinaryPrefix).
	prefix = "sigstore-kms-"
	// maxAnswer bounds what a program prints, in bytes: a public key or a signature.
	maxAnswer = 64 << 10
	// maxComplaint is how much of an error message is passed on, in bytes.
	maxComplaint = 512
	// patience is how long a program that was told to stop may keep its output open.
	patience = 5 * time.Second
)

// scheme keeps the name of the program to one file in a folder of the PATH.
var scheme = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// IsURI tells a key of a service from a path.
func IsURI(reference string) bool { return strings.Contains(reference, "://") }

// NoProgramError says that nothing here speaks to the service.
type NoProgramError struct {
	URI, Program string
}

func (e *NoProgramError) Error() string {
	return fmt.Sprintf("key %s: boardroom is linked with no cloud's SDK: expected the program %s on the PATH, got none", e.URI, e.Program)
}

// Signer is a key of a service.
type Signer struct {
	program, uri, resource string
	public                 provenance.Key
}

// Open finds the program for a key and asks it for the public key. Without a program the error is a [*NoProgramError].
func Open(ctx context.Context, uri string) (*Signer, error) {
	name, resource, ok := strings.Cut(uri, "://")
	if !ok || !scheme.MatchString(name) || resource == "" {
		return nil, fmt.Errorf("key: expected NAME://KEY with a NAME in lower case, got %.200q", uri)
	}
	program, err := exec.LookPath(prefix + name)
	if err != nil {
		return nil, &NoProgramError{uri, prefix + name}
	}
	s := &Signer{program: program, uri: uri, resource: resource}
	answer, err := s.ask(ctx, &common.MethodArgs{
		MethodName: common.PublicKeyMethodName,
		PublicKey:  &common.PublicKeyArgs{PublicKeyOptions: &common.PublicKeyOptions{}},
	}, nil)
	if err != nil {
		return nil, err
	}
	if answer.PublicKey == nil {
		return nil, s.fault(errors.New("expected a public key, got none"))
	}
	if s.public, err = provenance.ParseKey(answer.PublicKey.PublicKeyPEM); err != nil {
		return nil, s.fault(err)
	}
	return s, nil
}

// Key is the public key.
func (s *Signer) Key() provenance.Key { return s.public }

// Sign lets the service sign the SHA-256 of message.
func (s *Signer) Sign(ctx context.Context, message []byte) ([]byte, error) {
	answer, err := s.ask(ctx, &common.MethodArgs{
		MethodName: common.SignMessageMethodName,
		SignMessage: &common.SignMessageArgs{SignOptions: &common.SignOptions{
			RPCOptions: common.RPCOptions{}, MessageOptions: common.MessageOptions{},
		}},
	}, message)
	if err != nil {
		return nil, err
	}
	if answer.SignMessage == nil || !s.public.Verify(message, answer.SignMessage.Signature) {
		return nil, s.fault(fmt.Errorf("expected a signature by key %s, got another one or none", s.public.Fingerprint()))
	}
	return answer.SignMessage.Signature, nil
}

func (s *Signer) fault(err error) error { return fmt.Errorf("key %s: %s: %w", s.uri, s.program, err) }

// ask runs the program once. Its exit code means nothing (cliplugin/signer.go, invokePlugin); what it says on stderr is not passed on,
// because it may say what nobody else should read.
func (s *Signer) ask(ctx context.Context, method *common.MethodArgs, message []byte) (*common.PluginResp, error) {
	arguments, err := json.Marshal(&common.PluginArgs{InitOptions: &common.InitOptions{
		ProtocolVersion: common.ProtocolVersion, KeyResourceID: s.resource, HashFunc: crypto.SHA256, RPCOptions: &common.RPCOptions{},
	}, MethodArgs: method})
	if err != nil {
		return nil, s.fault(err)
	}
	cmd := exec.CommandContext(ctx, s.program, common.ProtocolVersion, string(arguments))
	cmd.Stdin = bytes.NewReader(message)
	cmd.WaitDelay = patience
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, s.fault(err)
	}
	if err := cmd.Start(); err != nil {
		return nil, s.fault(err)
	}
	output, readErr := io.ReadAll(io.LimitReader(stdout, maxAnswer+1))
	_ = stdout.Close() // a program that goes on writing ends
	err = cmd.Wait()
	if len(output) > maxAnswer {
		return nil, s.fault(fmt.Errorf("expected an answer of at most %d bytes, got more", maxAnswer))
	}
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() < 1) {
		return nil, s.fault(err)
	}
	if readErr != nil {
		return nil, s.fault(readErr)
	}
	var answer common.PluginResp
	if err := strictjson.Unmarshal(bytes.TrimSpace(output), &answer); err != nil {
		return nil, s.fault(fmt.Errorf("answer: %w", err))
	}
	if answer.ErrorMessage != "" {
		return nil, s.fault(fmt.Errorf("it says %.*q", maxComplaint, answer.ErrorMessage))
	}
	return &answer, nil
}
