// Package agent answers dstack's guest agent API from inside the guest: quotes from the registers, keys from the application's keys, and what
// was measured from the record that the boot keeps. The wire format is that of package agentapi.
package agent
