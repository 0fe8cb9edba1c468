package securetime

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Records of the key exchange (RFC 8915 section 4.1); numbers are big-endian.
const (
	recordEnd      = 0
	recordProtocol = 1
	recordError    = 2
	recordWarning  = 3
	recordAEAD     = 4
	recordCookie   = 5
	recordServer   = 6
	recordPort     = 7
	// critical is the bit of a record that has to be understood.
	critical = 0x8000
)

const (
	alpn = "ntske/1" // RFC 8915 section 4
	// exporterLabel is of the keys that the TLS session gives (RFC 8915 section 5.1).
	exporterLabel = "EXPORTER-network-time-security"
	ntpv4         = 0  // RFC 8915 section 7.7
	aeadSIV256    = 15 // RFC 5297, in IANA's registry of AEAD algorithms
	ntpPort       = 123
	// maxExchange bounds a server's answer in bytes, and maxCookie and maxCookies what of it is kept; servers send eight cookies of about 100.
	maxExchange = 16 << 10
	maxCookie   = 512
	maxCookies  = 8
)

// keyRequest asks for NTPv4 with AEAD_AES_SIV_CMAC_256, and ends.
var keyRequest = []byte{
	critical >> 8, recordProtocol, 0, 2, 0, ntpv4,
	critical >> 8, recordAEAD, 0, 2, 0, aeadSIV256,
	critical >> 8, recordEnd, 0, 0,
}

// keyAnswer is what a server answers to keyRequest.
type keyAnswer struct {
	cookies [][]byte
	// server is where to ask for the time, empty for where the keys are from.
	server string
	port   uint16
}

// session is what was agreed with a server.
type session struct {
	keyAnswer
	address string
	chain   []*x509.Certificate
	// toServer and toClient are the keys of requests and of answers.
	toServer, toClient *siv
}

// agreeKeys agrees on keys with the server at an address of host and port.
func agreeKeys(ctx context.Context, address string, roots *x509.CertPool) (*session, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := tls.Dialer{Config: &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS13, NextProtos: []string{alpn},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it, and measure once more; the clock can not be believed yet
		VerifyConnection: func(state tls.ConnectionState) error {
			return verifyChain(state.PeerCertificates, host, roots, latestStart(state.PeerCertificates))
		},
	}}
	plain, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	conn := plain.(*tls.Conn)
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != alpn {
		return nil, fmt.Errorf("TLS: expected the protocol %s, got %q", alpn, state.NegotiatedProtocol)
	}
	if _, err := conn.Write(keyRequest); err != nil {
		return nil, err
	}
	s := &session{chain: state.PeerCertificates}
	if s.keyAnswer, err = readKeyAnswer(conn); err != nil {
		return nil, err
	}
	// A server that names no other is asked at the address where it was found, for its name could lead elsewhere now.
	if s.server == "" {
		if s.server, _, err = net.SplitHostPort(conn.RemoteAddr().String()); err != nil {
			return nil, err
		}
	}
	s.address = net.JoinHostPort(s.server, strconv.Itoa(int(s.port)))
	if s.toServer, err = exportKey(state, 0); err != nil {
		return nil, err
	}
	s.toClient, err = exportKey(state, 1)
	return s, err
}

// exportKey takes the key of a direction from the session: 0 is of the client's requests, 1 of the server's answers.
func exportKey(state tls.ConnectionState, direction byte) (*siv, error) {
	key, err := state.ExportKeyingMaterial(exporterLabel, []byte{0, ntpv4, 0, aeadSIV256, direction}, sivKey)
	if err != nil {
		return nil, err
	}
	return newSIV(key)
}

// latestStart is when the last of the certificates became valid. A chain that is in use holds then: its certificates have all begun, and none has
// ended that holds now.
func latestStart(chain []*x509.Certificate) (latest time.Time) {
	for _, c := range chain {
		if c.NotBefore.After(latest) {
			latest = c.NotBefore
		}
	}
	return latest
}

// verifyChain checks that the first certificate is of the host, and leads to a root, at a time.
func verifyChain(chain []*x509.Certificate, host string, roots *x509.CertPool, at time.Time) error {
	if len(chain) == 0 {
		return errors.New("expected a certificate, got none")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, CurrentTime: at})
	return err
}

// readKeyAnswer reads records up to the last one.
func readKeyAnswer(r io.Reader) (keyAnswer, error) {
	a := keyAnswer{port: ntpPort}
	r = io.LimitReader(r, maxExchange)
	var protocol, aead bool
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return a, fmt.Errorf("key exchange: expected a record in at most %d bytes: %w", maxExchange, err)
		}
		kind := binary.BigEndian.Uint16(head[:])
		length := binary.BigEndian.Uint16(head[2:])
		if length > maxExchange {
			return a, fmt.Errorf("key exchange: expected a record of at most %d bytes, got %d", maxExchange, length)
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(r, body); err != nil {
			return a, fmt.Errorf("key exchange: expected a record of %d bytes in at most %d: %w", length, maxExchange, err)
		}
		switch kind &^ critical {
		case recordEnd:
			if !protocol || !aead || len(a.cookies) == 0 {
				return a, errors.New("key exchange: expected NTPv4, AEAD_AES_SIV_CMAC_256 and cookies, got not all of them")
			}
			return a, nil
		case recordProtocol:
			if protocol || !bytes.Equal(body, []byte{0, ntpv4}) {
				return a, fmt.Errorf("key exchange: expected NTPv4 once as the protocol, got %x", body)
			}
			protocol = true
		case recordAEAD:
			if aead || !bytes.Equal(body, []byte{0, aeadSIV256}) {
				return a, fmt.Errorf("key exchange: expected AEAD_AES_SIV_CMAC_256 once as the algorithm, got %x", body)
			}
			aead = true
		case recordError, recordWarning:
			return a, fmt.Errorf("key exchange: the server refuses with code %x", body)
		case recordCookie:
			// A cookie goes into an extension field, which ends at a multiple of four bytes.
			if len(body) == 0 || len(body) > maxCookie || len(body)%4 != 0 {
				return a, fmt.Errorf("key exchange: expected cookies of up to %d bytes, in multiples of 4, got %d bytes", maxCookie, len(body))
			}
			if len(a.cookies) < maxCookies {
				a.cookies = append(a.cookies, body)
			}
		case recordServer:
			if !hostName(body) {
				return a, fmt.Errorf("key exchange: expected a host name or an address as the server, got %.80q", body)
			}
			a.server = string(body)
		case recordPort:
			if len(body) != 2 || binary.BigEndian.Uint16(body) == 0 {
				return a, fmt.Errorf("key exchange: expected a port, got %x", body)
			}
			a.port = binary.BigEndian.Uint16(body)
		default:
			if kind&critical != 0 {
				return a, fmt.Errorf("key exchange: expected no other critical record, got type %d", kind&^critical)
			}
		}
	}
}

// hostName holds for what can be a host's name or address.
func hostName(text []byte) bool {
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '.' && c != ':' {
			return false
		}
	}
	return len(text) > 0 && len(text) <= 253
}
