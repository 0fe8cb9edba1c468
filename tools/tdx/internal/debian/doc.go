// Package debian fetches packages of any suite of Debian for acceptance tests, with apt, installing nothing and changing nothing that apt
// knows of the machine's own suite. Which archive they come from is what apt on this machine is set up for. It is empty without the
// build tag "acceptance".
package debian
