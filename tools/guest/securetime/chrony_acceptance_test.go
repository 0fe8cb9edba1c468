//go:build acceptance

package securetime

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestChrony takes the time from chrony's server, of Debian's package chrony, which has no part of ours. It says the time of this machine and leaves
// the machine's clock alone.
func TestChrony(t *testing.T) {
	chronyd, err := exec.LookPath("chronyd")
	if err != nil {
		chronyd = "/usr/sbin/chronyd"
	}
	a := newAuthority(t)
	// chronyd looks at its certificate with the clock of this machine.
	certificate := a.sign(t, "localhost", time.Now().AddDate(0, 0, -1), time.Now().AddDate(0, 0, 1))
	key, err := x509.MarshalECPrivateKey(certificate.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, data []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	ntp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nts, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := nts.Addr().(*net.TCPAddr).Port
	settings := fmt.Sprintf("local stratum 5\nallow 127.0.0.1\nbindaddress 127.0.0.1\nport %d\nntsport %d\ncmdport 0\nbindcmdaddress /\npidfile %s\n"+
		"ntsservercert %s\nntsserverkey %s\nntsprocesses 0\n",
		ntp.LocalAddr().(*net.UDPAddr).Port, port, filepath.Join(dir, "pid"),
		write("certificate", "CERTIFICATE", certificate.Certificate[0]), write("key", "EC PRIVATE KEY", key))
	ntp.Close()
	nts.Close()
	file := filepath.Join(dir, "chrony.conf")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(t.Context(), chronyd, "-x", "-d", "-U", "-u", who.Username, "-f", file)
	var said strings.Builder
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	clock := &simClock{wrong: -time.Hour, changed: func() {}}
	k := &Keeper{Clock: clock, Servers: []string{fmt.Sprintf("localhost:%d", port)}, Roots: a.roots, Rounds: 10, Patience: time.Second}
	offset, err := k.Set(t.Context())
	_ = server.Process.Kill()
	_ = server.Wait()
	if err != nil || !near(offset, time.Hour) {
		t.Errorf("the clock was wrong by %v, %v, want about an hour; chronyd said\n%s", offset, err, said.String())
	}
}
