package registration

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"

	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// Headers of a question that is to be answered under the attested key, and of its answer.
const (
	ChallengeHeader = "Boardroom-Challenge" // a nonce, as in claims
	SignatureHeader = "Boardroom-Signature" // base64url without padding
)

// answerTag keeps answers apart from everything else that an agent's key signs.
const answerTag = "boardroom-answer-v1"

// ErrAnswer means that what answered does not hold the agent's key, or that question or answer were changed on the way.
var ErrAnswer = errors.New("the answer is not signed by the agent's key over this question and answer")

// Exchange is one question and its answer, as the agent signs them and the hub checks them.
type Exchange struct {
	Challenge string // made by who asks, for this question only
	Path      string
	Question  []byte // body of the request
	Status    int
	Answer    []byte // body of the answer
}

// digest returns what is signed.
func (x Exchange) digest(publicKey string) ([64]byte, error) {
	if err := evidence.CheckNonce(x.Challenge); err != nil {
		return [64]byte{}, err
	}
	question, answer := sha256.Sum256(x.Question), sha256.Sum256(x.Answer)
	return evidence.Digest(answerTag, map[string]string{
		"answer":     hex.EncodeToString(answer[:]),
		"challenge":  x.Challenge,
		"path":       x.Path,
		"public_key": publicKey,
		"question":   hex.EncodeToString(question[:]),
		"status":     strconv.Itoa(x.Status),
	})
}

// Sign returns the value of [SignatureHeader]. The error is an [*evidence.ClaimError] for a challenge that is no nonce.
func (x Exchange) Sign(key ed25519.PublicKey, sign func([]byte) []byte) (string, error) {
	digest, err := x.digest(evidence.EncodeKey(key))
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sign(digest[:])), nil
}

// Check returns an error wrapping [ErrAnswer] unless the key, spelled as in claims, signed the exchange.
func (x Exchange) Check(publicKey, signature string) error {
	return verify(publicKey, signature, ErrAnswer, func() ([64]byte, error) { return x.digest(publicKey) })
}
