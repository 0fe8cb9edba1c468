package collect

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/dstack/guestagent"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/evidence/nonce"
)

// nonceData is the REPORTDATA of evidence that binds a nonce and nothing else: the nonce and zeros after it, as dstack's guest
// agent pads what it is given (guest-agent/src/rpc_service.rs) and as package appraisal expects a nonce without claims. The
// error is an [*evidence.ClaimError].
func nonceData(challenge string) (data [64]byte, err error) {
	if err := evidence.CheckNonce(challenge); err != nil {
		return data, err
	}
	_, err = hex.Decode(data[:], []byte(challenge))
	return data, err
}

// FromSocket asks dstack's guest agent for a quote over the nonce.
func (c Collector) FromSocket(ctx context.Context, path, challenge string) (Collected, error) {
	if challenge == "" {
		challenge = nonce.New()
	}
	data, err := nonceData(challenge)
	if err != nil {
		return Collected{}, err
	}
	answer, err := guestagent.New(path).GetQuote(ctx, data)
	if err != nil {
		return Collected{}, &UnreachableError{path, err}
	}
	if len(answer.Quote) > evidence.MaxQuote || len(answer.EventLog) > evidence.MaxEventLog || len(answer.VMConfig) > evidence.MaxVMConfig {
		return Collected{}, &EvidenceError{path, errors.New("the quote, event log or vm_config is larger than any that is read")}
	}
	return Collected{
		Source:     path,
		Evidence:   appraisal.Evidence{Quote: answer.Quote, EventLog: []byte(answer.EventLog), VMConfig: answer.VMConfig},
		ReportData: data,
		Freshness:  ByNonce,
		Nonce:      challenge,
		At:         c.now(),
	}, nil
}
