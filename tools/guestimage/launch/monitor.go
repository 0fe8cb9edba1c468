package launch

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	// answerWait is how long QEMU may take to answer a command.
	answerWait = 5 * time.Second
	// maxAnswers bounds the lines that are read for one answer; events come between.
	maxAnswers = 1000
)

// command has QEMU do something through its monitor (QMP, docs/interop/qmp-spec).
func command(socket, name string) error {
	// A run that is over asks all the same, so there is no context to end it by.
	dialer := net.Dialer{Timeout: answerWait}
	conn, err := dialer.DialContext(context.Background(), "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerWait)); err != nil {
		return err
	}
	lines := bufio.NewScanner(conn)
	if !lines.Scan() {
		return fmt.Errorf("monitor: expected a greeting, got none: %w", lines.Err())
	}
	for _, n := range []string{"qmp_capabilities", name} {
		if err := execute(conn, lines, n); err != nil {
			return err
		}
	}
	return nil
}

func execute(conn net.Conn, lines *bufio.Scanner, name string) error {
	request, err := json.Marshal(map[string]string{"execute": name})
	if err != nil {
		return err
	}
	if _, err := conn.Write(append(request, '\n')); err != nil {
		return err
	}
	for range maxAnswers {
		if !lines.Scan() {
			// QEMU may be gone before it answers "quit".
			return errors.Join(fmt.Errorf("monitor: no answer to %s", name), lines.Err())
		}
		var answer struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := json.Unmarshal(lines.Bytes(), &answer); err != nil {
			return fmt.Errorf("monitor: %w", err)
		}
		switch {
		case answer.Error != nil:
			return fmt.Errorf("monitor: %s: %.200q", name, answer.Error.Desc)
		case answer.Return != nil:
			return nil
		}
	}
	return fmt.Errorf("monitor: expected an answer to %s, got %d events", name, maxAnswers)
}
