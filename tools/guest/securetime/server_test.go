package securetime

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// simAuthority signs certificates of simulated servers.
type simAuthority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	roots       *x509.CertPool
}

func simKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t testing.TB) *simAuthority {
	t.Helper()
	a := &simAuthority{key: simKey(t), roots: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "simulated authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: earliest.AddDate(-10, 0, 0), NotAfter: earliest.AddDate(100, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.roots.AddCert(a.certificate)
	return a
}

// sign makes a certificate of a host.
func (a *simAuthority) sign(t testing.TB, host string, from, to time.Time) tls.Certificate {
	t.Helper()
	key := simKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{host}, KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: from, NotAfter: to,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// simServer serves NTS on loopback, for one session at a time.
type simServer struct {
	address string
	now     func() time.Time
	// records changes what the key exchange answers, and packets what is answered to a request, of which honest is the right one.
	records func(honest []byte) []byte
	packets func(s *simServer, asked, honest []byte) [][]byte

	lock               sync.Mutex
	toServer, toClient *siv
	asked              int
}

// simCookie is what the simulated servers give, for they keep the keys themselves.
var simCookie = make([]byte, 96)

// record makes a record of the key exchange.
func record(kind uint16, body ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

// start serves until the test ends. The server's time is given, and goes on from there.
func (s *simServer) start(t testing.TB, at time.Time, config *tls.Config) *simServer {
	t.Helper()
	started := time.Now()
	s.now = func() time.Time { return at.Add(time.Since(started)) }
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	s.address = net.JoinHostPort("localhost", port)
	var ended sync.WaitGroup
	ended.Go(func() { s.serveKeys(listener, uint16(packets.LocalAddr().(*net.UDPAddr).Port)) })
	ended.Go(func() { s.servePackets(packets) })
	t.Cleanup(func() {
		listener.Close()
		packets.Close()
		ended.Wait()
	})
	return s
}

func (s *simServer) serveKeys(listener net.Listener, port uint16) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		s.agree(conn.(*tls.Conn), port)
		conn.Close()
	}
}

func (s *simServer) agree(conn *tls.Conn, port uint16) {
	asked := make([]byte, len(keyRequest))
	if _, err := io.ReadFull(conn, asked); err != nil || string(asked) != string(keyRequest) {
		return
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	var err error
	if s.toServer, err = exportKey(conn.ConnectionState(), 0); err != nil {
		return
	}
	if s.toClient, err = exportKey(conn.ConnectionState(), 1); err != nil {
		return
	}
	answer := append(record(critical|recordProtocol, 0, 0), record(critical|recordAEAD, 0, 15)...)
	for range 3 {
		answer = append(answer, record(recordCookie, simCookie...)...)
	}
	answer = append(answer, record(recordPort, byte(port>>8), byte(port))...)
	answer = append(answer, record(critical|recordEnd)...)
	if s.records != nil {
		answer = s.records(answer)
	}
	_, _ = conn.Write(answer)
}

func (s *simServer) servePackets(conn net.PacketConn) {
	buffer := make([]byte, maxPacket)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		s.lock.Lock()
		s.asked++
		asked := buffer[:n]
		replies := [][]byte{}
		// 48 bytes, an identifier of 36, a cookie of 100: then comes the authenticator.
		if at := headerSize + 36 + 100; n > at+fieldHead && checkAuthenticator(asked[at+fieldHead:], asked[:at], s.toServer) == nil {
			honest := seal(s.toClient, header(asked, s.now()), asked[headerSize+fieldHead:headerSize+36])
			replies = [][]byte{honest}
			if s.packets != nil {
				replies = s.packets(s, asked, honest)
			}
		}
		s.lock.Unlock()
		for _, r := range replies {
			if _, err := conn.WriteTo(r, from); err != nil {
				return
			}
		}
	}
}

// header is that of an answer to a request.
func header(asked []byte, now time.Time) []byte {
	h := make([]byte, headerSize)
	h[0], h[stratumAt] = answers, 2
	copy(h[originAt:], asked[sentAt:headerSize])
	putTime(h[receivedAt:], now)
	putTime(h[sentAt:], now)
	return h
}

func putTime(b []byte, t time.Time) {
	binary.BigEndian.PutUint32(b, uint32(t.Unix()-ntpEpoch.Unix()))
	binary.BigEndian.PutUint32(b[4:], uint32(uint64(t.Nanosecond())<<32/uint64(time.Second)))
}

// seal makes an answer of a header, with an encrypted cookie.
func seal(key *siv, header, identifier []byte) []byte {
	packet := appendField(header, fieldIdentifier, identifier)
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)
	return appendField(packet, fieldAuthenticator, authenticator(key, packet, nonce, appendField(nil, fieldCookie, simCookie)))
}
