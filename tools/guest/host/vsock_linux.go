package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// hostCID is the address of the host (include/uapi/linux/vm_sockets.h VMADDR_CID_HOST).
const hostCID = unix.VMADDR_CID_HOST

// address is one of vsock.
type address struct{ cid, port uint32 }

func (address) Network() string  { return "vsock" }
func (a address) String() string { return fmt.Sprintf("vsock:%d:%d", a.cid, a.port) }

// conn is a connected socket. The runtime waits for it as for a file.
type conn struct {
	*os.File
	local, remote address
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// listener is a socket that listens.
type listener struct {
	file  *os.File
	place address
}

// Listen listens at a port for the host and nobody else: who calls from another address is hung up on.
func Listen(port uint32) (net.Listener, error) {
	place := address{unix.VMADDR_CID_ANY, port}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: socket: %w", place, err)
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrVM{CID: place.cid, Port: port}), unix.Listen(fd, unix.SOMAXCONN)); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: listen: %w", place, err), unix.Close(fd))
	}
	return &listener{os.NewFile(uintptr(fd), place.String()), place}, nil
}

// Accept waits for the host.
func (l *listener) Accept() (net.Conn, error) {
	for {
		fd, from, err := l.accept()
		if errors.Is(err, os.ErrClosed) {
			return nil, net.ErrClosed
		}
		if err != nil {
			return nil, fmt.Errorf("%s: accept: %w", l.place, err)
		}
		remote, ok := from.(*unix.SockaddrVM)
		if !ok || remote.CID != hostCID {
			_ = unix.Close(fd)
			continue
		}
		a := address{remote.CID, remote.Port}
		return &conn{os.NewFile(uintptr(fd), a.String()), l.place, a}, nil
	}
}

func (l *listener) accept() (fd int, from unix.Sockaddr, err error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return -1, nil, err
	}
	waited := raw.Read(func(listening uintptr) bool {
		fd, from, err = unix.Accept4(int(listening), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNABORTED)
	})
	if waited != nil {
		return -1, nil, waited
	}
	return fd, from, err
}

func (l *listener) Close() error   { return l.file.Close() }
func (l *listener) Addr() net.Addr { return l.place }

// dial connects to a port of the host.
func dial(ctx context.Context, port uint32) (net.Conn, error) {
	remote := address{hostCID, port}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: socket: %w", remote, err)
	}
	connecting := unix.Connect(fd, &unix.SockaddrVM{CID: remote.cid, Port: port})
	c := &conn{os.NewFile(uintptr(fd), remote.String()), address{}, remote}
	if errors.Is(connecting, unix.EINPROGRESS) {
		connecting = c.connected(ctx)
	}
	if connecting != nil {
		return nil, errors.Join(fmt.Errorf("%s: connect: %w", remote, connecting), c.Close())
	}
	return c, nil
}

// connected waits until a connection stands or has failed.
func (c *conn) connected(ctx context.Context) error {
	if deadline, given := ctx.Deadline(); given {
		if err := c.SetWriteDeadline(deadline); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Unix(1, 0)) })()
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	waited := raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if result = err; err != nil {
			return true
		}
		_, err = unix.Getpeername(int(fd))
		return !errors.Is(err, unix.ENOTCONN)
	})
	return errors.Join(waited, result, c.SetWriteDeadline(time.Time{}))
}
